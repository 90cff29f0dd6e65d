"""Files and folders that are there whole or not at all, whatever moment a process is killed at."""

import fcntl
import hashlib
import json
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def atomic_write(file: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) beside `file`, then rename it to `file`; the folder is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(file.name + ".part")
    try:
        with with_filename(file):
            aside.write_bytes(content.encode() if isinstance(content, str) else content)
            aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def with_filename(file: Path) -> Iterator[None]:
    """Let an `OSError` of the block name `file` if it names none, as that of a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(file)
        raise


def sha256(file: Path) -> str:
    """The SHA-256 (hex) of a file's content. Raises `OSError`."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def is_json_object(file: Path) -> bool:
    """Whether `file` is there and holds a JSON object."""
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def write_if_changed(file: Path, content: str) -> None:
    """`atomic_write`, unless `file` says so already: make goes by the time of the last change."""
    if not file.is_file() or file.read_bytes() != content.encode():
        atomic_write(file, content)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `folder` (replacing one of that name) if nothing goes wrong."""
    aside, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def file_lock(place: Path) -> Iterator[None]:
    """Wait until no other process is at work on `place` (a lock beside it, which the kernel frees if we are killed)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        yield


def lock_range(descriptor: int, name: str, waiting: str) -> None:
    """Wait until nobody else has claimed `name` on the open file `descriptor`; says `waiting` if it has to.

    The claim outlives us: it ends with the last process that shares the descriptor. So a shell keeps what its child
    claimed, and nobody comes between while an orphan of a killed shell is still at work. Only Linux has such locks
    (F_OFD_SETLK); elsewhere nothing is claimed. Raises `OSError` where the descriptor is not open for writing.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])  # one byte of the file stands for the name
    lock = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)  # struct flock
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except (BlockingIOError, PermissionError):
        print(waiting, file=sys.stderr, flush=True)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, lock)
