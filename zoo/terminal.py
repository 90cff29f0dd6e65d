"""What the commands share: a console that prints names as they are, and numbers that are checked in one line."""

import re
import sys
from collections.abc import Callable

from rich.console import Console

from lesions.errors import UserError


def console(width: int | None = None) -> Console:
    """A console, `width` columns wide where there is no terminal; `[...]` and `:...:` in a name mean nothing to it."""
    return Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False, highlight=False)


def whole_number(name: str, least: int, most: int) -> Callable[[str | int], int]:
    """A function that reads the setting `name`; it raises `UserError` for all but a number from `least` to `most`."""

    def read(text: str | int) -> int:
        if re.fullmatch(r"-?[0-9]{1,20}", str(text)) and least <= int(text) <= most:
            return int(text)
        raise UserError(f"{name}={str(text)[:60]}: it is a whole number from {least:,} to {most:,}")

    return read
