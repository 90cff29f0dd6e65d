"""The provenance of a training: its commit, library versions, hardware and time."""

import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from lesions.files import atomic_write
from zoo.study import ROOT

LIBRARIES = ("torch", "torchvision", "timm", "pytorch-lightning", "numpy", "pillow", "scikit-learn")

THEN = ", then "
"""Between the machines of a training that went on on another one."""


def begin(file: Path) -> None:
    """Write a new `file` (JSON): time, commit, versions and hardware of a training that begins."""
    record = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
        "hardware": _hardware(),
        "seconds": 0.0,
    }
    atomic_write(file, json.dumps(record, indent=1) + "\n")


@contextmanager
def timed(file: Path) -> Iterator[Callable[[], None]]:
    """Add this machine's hardware to that in `file`, if it goes on here from another one; then the block's seconds.

    What is yielded adds the seconds until now: called with each checkpoint, for a training that is killed after it.
    """
    start, record = time.monotonic(), json.loads(file.read_text(encoding="utf-8"))
    earlier = record["seconds"]
    if (hardware := _hardware()) not in record["hardware"].split(THEN):
        record["hardware"] += THEN + hardware

    def note() -> None:
        record["seconds"] = round(earlier + time.monotonic() - start, 1)
        atomic_write(file, json.dumps(record, indent=1) + "\n")

    note()
    try:
        yield note
    finally:
        note()


def commit() -> str | None:
    """The checkout's git commit, `-dirty` behind it if files differ from it; none outside a checkout."""
    try:
        top = Path(_git("rev-parse", "--show-toplevel"))
        # A copy without a repository of its own may lie in another one.
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if top == ROOT else None
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _hardware() -> str:
    """The GPU, if there is one, and the model of processor: on another model, the same training gives other bytes."""
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return gpu + _processor()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
