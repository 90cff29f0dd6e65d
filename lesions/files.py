"""Write files and folders that are complete or not there, even if the process is killed; locks; digests."""

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

FLOCK = "hhqqi0q"
"""The kernel's struct flock: type, whence, start, length, pid."""


def atomic_write(file: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) beside `file`, then rename it to `file`; make the folder if need be."""
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
    """Set the file name of an `OSError` in the block to `file` if it has none, as with a full disk."""
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
    """`atomic_write`, unless `file` has this content: make compares the times of the last change."""
    if not file.is_file() or file.read_bytes() != content.encode():
        atomic_write(file, content)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into. At the end of the block it replaces `folder`; after an error it is deleted."""
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


def free_space(folder: Path) -> int:
    """The free bytes on the disk of `folder`, which may not exist yet. Raises `NotADirectoryError` if it cannot."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, not a folder")
    return shutil.disk_usage(existing).free


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until no other process works on `path`. The lock lies beside it; a killed process loses it."""
    from filelock import FileLock  # here: archives carry this file for its other functions

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def is_at_work(path: Path) -> bool:
    """Whether another process holds the `file_lock` of `path`."""
    from filelock import FileLock, Timeout

    lock = path.with_name(f".{path.name}.lock")
    try:
        if lock.is_file():
            with FileLock(lock, timeout=0):
                return False
    except Timeout:
        return True
    return False


def lock_range(descriptor: int, name: str, message: str) -> None:
    """Lock the byte of an open file that stands for `name`; print `message` if another process has to end first.

    The lock is held until the last process that shares the descriptor ends. So a shell keeps the lock of its child, and
    no other process gets it while an orphan of a killed shell still works. Only Linux has such locks (F_OFD_SETLK);
    elsewhere nothing is locked. Raises `OSError` where the descriptor is not open for writing.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return
    offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
    lock = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except (BlockingIOError, PermissionError):
        print(message, file=sys.stderr, flush=True)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, lock)


def is_locked(descriptor: int) -> bool:
    """Whether another process holds a lock of `lock_range` on an open file, of any name."""
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    whole = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    return bool(struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, whole))[0] != fcntl.F_UNLCK)
