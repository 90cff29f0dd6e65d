"""A server of ours as a process of its own: started in a session of its own, found again, and stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from zoo.study import ROOT

PATIENCE = 10
"""Seconds that a server has to end in, by either signal."""
IN_BACKGROUND = '"$@" >"$0" 2>&1 & echo $!'
"""By a shell that ends at once, so that the server is not our child: it may outlive us, and leaves us no zombie."""


def launch(module: str, folder: Path, console: Path, environment: Mapping[str, str]) -> int:
    """Start `python -m module folder`, which outlives us; returns its pid. What it prints goes into `console`.

    `environment` is added to ours. The process can be known by its command line when this returns.
    """
    # Our modules and no others of their names.
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    started = subprocess.run(
        ["/bin/sh", "-c", IN_BACKGROUND, str(console), sys.executable, "-m", module, str(folder)],
        cwd=ROOT,  # from where Python imports
        env={**kept, **environment},
        umask=0o077,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is not for the server
        check=True,
    )
    pid, deadline = int(started.stdout), time.monotonic() + PATIENCE
    with suppress(psutil.Error):  # it has ended
        process = psutil.Process(pid)
        # A fork of the shell at first; while it turns into Python it has no command line, and would pass for dead.
        while process.cmdline()[:1] in ([], ["/bin/sh"]) and time.monotonic() < deadline:
            time.sleep(0.01)
    return pid


def halt(module: str, folder: Path) -> None:
    """Stop all servers of `folder` that are this module: SIGTERM first, and SIGKILL for what is left."""
    left = processes_of(module, folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = end(left, number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM do nothing meanwhile, nor to processes that are started: to stop a server takes seconds."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(processes: list[psutil.Process], number: signal.Signals) -> list[psutil.Process]:
    """Send a signal to each of `processes`, and wait for their ends; returns those that still run after `PATIENCE`."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
    deadline = time.monotonic() + PATIENCE
    while (processes := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes


def read_state(module: str, folder: Path, file: str) -> dict[str, Any] | None:
    """What was written into `file` of the resolved `folder`, a pid among it, if that server still runs."""
    try:
        state: dict[str, Any] = json.loads((folder / file).read_bytes())
        process = psutil.Process(state["pid"])
    except (OSError, ValueError, LookupError, TypeError, psutil.Error):
        return None
    return state if is_ours(process, module, folder) else None  # process ids are used again


def processes_of(module: str, folder: Path) -> list[psutil.Process]:
    """The servers of `folder` that run and are this module."""
    return [process for process in psutil.process_iter() if is_ours(process, module, folder)]


def is_ours(process: psutil.Process, module: str, folder: Path) -> bool:
    """Whether `process` is this module's server of `folder`, and not dead."""
    try:
        return process.cmdline()[-2:] == [module, str(folder)] and is_alive(process)
    except psutil.Error:
        return False


def is_alive(process: psutil.Process) -> bool:
    """Whether `process` still runs. One that ends loses its command line first, and its ports with its last thread."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False
