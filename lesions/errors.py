"""Errors that a user can fix, and how they end a command. Copied into archives."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk, a quota, and a limit on file size."""


class UserError(Exception):
    """Wrong settings, data or files. `str()` says what is wrong, where, and what to do."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End the command on a `UserError` or `OSError` in the block: one line on stderr, exit code 2, no traceback."""
    try:
        yield
    except (UserError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            retry = "; make room, and run the same command again" if error.errno in DISK_FULL else ""
            message = f"{where}{error.strerror or error}{retry}"
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None
