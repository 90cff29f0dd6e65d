"""What a server takes: the largest request, and the life of a token. `config.properties` has both defaults."""

import re
from typing import NamedTuple

from lesions.errors import UserError
from zoo.study import ROOT
from zoo.terminal import whole_number

FILE = ROOT / "config.properties"
"""TorchServe's settings; its two limits hold for every runtime."""
MEGABYTE = 1_000_000
LARGEST_MB = 1000
"""TorchServe counts bytes in 31 bits, and a request lies in memory as a whole."""
LONGEST_MINUTES = 7 * 24 * 60

request_megabytes = whole_number("MAX_REQUEST_MB", 1, LARGEST_MB)
minutes_of_a_token = whole_number("TOKEN_MINUTES", 1, LONGEST_MINUTES)


class Limits(NamedTuple):
    """The limits of one server."""

    max_request_bytes: int
    token_minutes: int
    """A token is void after so long."""


def limits(max_request_mb: int | None = None, token_minutes: int | None = None) -> Limits:
    """What is given, else what `FILE` says. Raises `UserError` where that is no sensible number."""
    return Limits(
        _default("max_request_size", LARGEST_MB * MEGABYTE)
        if max_request_mb is None
        else request_megabytes(max_request_mb) * MEGABYTE,
        _default("token_expiration_min", LONGEST_MINUTES)
        if token_minutes is None
        else minutes_of_a_token(token_minutes),
    )


def _default(name: str, most: int) -> int:
    found = re.findall(rf"^[ \t]*{name}[ \t]*[=: \t][ \t]*(.*?)[ \t]*$", FILE.read_text(), re.MULTILINE)
    if not found:
        raise UserError(f"{FILE} has no {name}; add a line, as git has it: git diff {FILE.name}")
    return whole_number(f"{FILE}: {name}", 1, most)(found[-1])  # of two lines, Java takes the last


def how_to_raise(size: int) -> str:
    """How to let a request of `size` bytes through."""
    megabytes = max(20, -(-size // (10 * MEGABYTE)) * 10)
    if megabytes > LARGEST_MB:
        return f"more than {LARGEST_MB} MB cannot be sent"
    return f"raise the limit: make serve MAX_REQUEST_MB={megabytes}"
