"""Run one step of `make zoo` where LAUNCH puts it, say on a node of a cluster, and again where the node dies.

A step that ends with an error of its own is not tried again. One that does not end is: trainings and pools go on from
their last checkpoint. Imports no torch, since it only waits.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lesions.errors import UserError

STEP = Path(__file__).with_name("step.sh")
PAUSES = (5, 20)
"""Seconds before the second and the third try."""
LATE = 60
"""Seconds after which a shared folder shows at the latest what another machine wrote: NFS looks as seldom as that."""
SIGNALLED = 128
"""From this exit code on, a shell means that its command was killed by a signal."""


class LaunchError(UserError):
    """A step that did not end where LAUNCH put it."""


class Note(NamedTuple):
    """What step.sh wrote of a try."""

    node: str | None
    """Where the step began; none: it did not."""
    code: int | None
    """Its exit code; none: it did not end."""

    @classmethod
    def read(cls, file: Path) -> "Note":
        """The note in `file`."""
        node, code, *_ = [*file.read_text(encoding="utf-8").split(), None, None]
        return cls(node, None if code is None else int(code))

    @property
    def ended(self) -> bool:
        """Whether the step came to an end of its own, good or bad."""
        return self.code is not None and self.code < SIGNALLED


def launch(prefix: str, output: Path, command: Sequence[str]) -> int:
    """Run `command` behind the `prefix`, up to three times, until it ends; returns its exit code.

    `output` is the file that make waits for. It gets this machine's time, since make compares times, and a node's clock
    may be wrong. Raises `LaunchError` where the prefix cannot be run or does not wait, or no try came to an end.
    """
    try:
        words = shlex.split(prefix)
    except ValueError as error:
        raise LaunchError(f"LAUNCH={prefix}: {error}") from None
    output.parent.mkdir(parents=True, exist_ok=True)
    file, problem = output.with_name(f".{output.name}.step"), ""
    try:
        for pause in (0, *PAUSES):
            if problem:
                print(f"{output}: {problem}; trying again in {pause} s", file=sys.stderr, flush=True)
                time.sleep(pause)
            file.write_text("", encoding="utf-8")  # the node writes into it: NFS shows that at once, but no new file
            launched = _run([*words, os.path.relpath(STEP), str(file), *command], prefix)
            note = Note.read(file)
            if note.code == 0:
                _touch(output)
            if note.ended and note.code is not None:
                return note.code
            if note.node is None and launched == 0:
                raise LaunchError(f"{output}: LAUNCH={prefix} came back before the step began; with sbatch, add --wait")
            problem = _describe(note, launched)
    finally:
        file.unlink(missing_ok=True)
    raise LaunchError(f"{output}: {problem}; tried {1 + len(PAUSES)} times. Called again, `make zoo` tries anew")


def _run(command: Sequence[str], prefix: str) -> int:
    """Run the launcher, and return its exit code; at SIGINT or SIGTERM, end it and this process."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(SIGNALLED + number)

    handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise LaunchError(f"LAUNCH={prefix}: {command[0]}: {error.strerror}") from None
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()  # srun asks back at a SIGINT, which it has from the terminal, too
            process.wait()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _describe(note: Note, launched: int) -> str:
    """What happened to a step that did not end."""
    if note.code is not None:
        return f"killed on {note.node} by signal {note.code - SIGNALLED}"
    if note.node is not None:
        return f"began on {note.node} and did not end: it was killed, or {note.node} died"
    return f"did not begin: LAUNCH ended with exit code {launched}"


def _touch(output: Path) -> None:
    """Give `output` this machine's time, as soon as it can be seen here. Raises `LaunchError` where it cannot."""
    deadline = time.monotonic() + LATE
    while True:
        try:
            with output.open("rb") as opened:  # opened, not looked up: NFS then asks its server
                os.utime(opened.fileno())
            return
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise LaunchError(f"{output}: a node wrote it, and it is not here; is the folder shared?") from None
            time.sleep(1)
