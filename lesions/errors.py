"""Errors that the user can fix, and how a command ends with one. Copied into archives."""

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
    """Turn a `UserError` or an `OSError` of the block into one line on stderr and exit code 2, without a traceback."""
    try:
        yield
    except UserError as error:
        message = str(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        retry = "; make room, and run the same command again" if error.errno in DISK_FULL else ""
        message = f"{where}{error.strerror or error}{retry}"
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
