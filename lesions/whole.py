"""Files and folders that are there whole or not at all, whatever moment a process is killed at."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def write(file: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) beside `file`, then rename it to `file`; the folder is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(file.name + ".part")
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def write_if_changed(file: Path, content: str) -> None:
    """`write`, unless `file` says so already: make goes by the time of the last change."""
    if not file.is_file() or file.read_bytes() != content.encode():
        write(file, content)


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
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
def alone(place: Path) -> Iterator[None]:
    """Wait until no other process is at work on `place` (a lock beside it, which the kernel frees if we are killed)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        yield
