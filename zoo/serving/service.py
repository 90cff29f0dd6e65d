"""What every runtime asks of an archive: calls in, answers out. Copied into archives."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

REASONS = {400: "Bad Request", 413: "Content Too Large", 501: "Not Implemented"}
"""Reason phrases of refusals: in ASCII, because TorchServe counts characters and sends bytes."""


class Call(NamedTuple):
    """One request, without its transport."""

    fields: Mapping[str, Any]
    """The body under "body", or each field of a form under its own name: bytes, text, or what JSON was parsed into."""
    headers: Mapping[str, Any]
    """By name in lower case; a file of a form has `{"content-type": ...}` under its field's name."""
    explain: bool = False
    """Whether an explanation is asked for, rather than a prediction."""


class Answer(NamedTuple):
    """The answer to one call."""

    status: int
    """The HTTP status."""
    body: dict[str, Any]
    """What is sent as JSON."""


class Service(Protocol):
    """One served version. Safe to share between threads."""

    entry: dict[str, Any]
    """The archive's `entry.json`."""

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer each call on its own: one that cannot be answered never harms its neighbors."""


def refuse(status: int, message: str) -> Answer:
    """A refusal: its body has code, type and message."""
    return Answer(status, {"code": status, "type": REASONS[status].replace(" ", ""), "message": message})


def origin(entry: Mapping[str, Any]) -> dict[str, str]:
    """What every answer has of its entry."""
    return {key: entry[key] for key in ("entry", "study", "notice")}
