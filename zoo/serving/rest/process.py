"""The server as a process of its own, with what it is started with and its logs."""

import json
import shutil
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import psutil

from lesions.files import atomic_write
from zoo.serving import detached
from zoo.serving.connection import KEY_FILE
from zoo.serving.process import addresses, check_free, state_of, tail
from zoo.serving.runtime import RUNTIMES, STATE, ServeRequest, runtime_of

READY = "ready.json"
"""In the server's folder: of each version that was opened, why it cannot be served, or "" where it can."""
LOGS, LOG, ACCESS_LOG, CONSOLE = "logs", "server.log", "access.log", "console.log"
"""In the server's folder, its logs: of itself, of requests, and what Python says before these are open."""
PORTS = ("inference", "management", "metrics")
"""What listens on port, port + 1, ..."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # one thread a request
    "ORT_DISABLE_TELEMETRY": "1",
    # glibc's own, moving thresholds would keep what a large picture took: 1.7 GB of two at a time, of 50 million
    # pixels. So a block of 4 MB or more goes back to the kernel; those of a usual picture are smaller.
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
}
"""What every process that answers has beside our environment."""


class Program:
    """The server of a runtime: `python -m PACKAGE FOLDER`."""

    def __init__(self, name: str) -> None:
        """`name` is the runtime's, by which `RUNTIMES` knows its package."""
        self.name, self.module = name, RUNTIMES[name]

    def read_state(self, folder: Path) -> dict[str, Any] | None:
        """What `launch` wrote into `folder` (port, host, archives, pid), if that server still runs."""
        return detached.read_state(self.module, folder.resolve(), STATE)

    def last_state(self, folder: Path) -> dict[str, Any]:
        """What the last server of `folder` was started with, if it was this runtime's, whether it runs or not."""
        try:
            state = dict(json.loads((folder / STATE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return {}
        return state if state.get("runtime") == self.name else {}

    def wanted(self, store: Path, files: Mapping[str, str], request: ServeRequest) -> dict[str, Any]:
        """What `STATE` says of a server that is started so: another one of the same folder is not what is wanted."""
        front = request.front and request.front._asdict()
        return state_of(self.name, request) | {"store": str(store), "files": dict(files), "front": front}

    def environment(self, folder: Path) -> Mapping[str, str]:
        """What the server's environment has beside ours."""
        return ENVIRONMENT

    def launch(self, store: Path, files: Mapping[str, str], request: ServeRequest) -> None:
        """Start the server on `files` of the folder `store`, versions by file name, and write down its state.

        Raises `ServerError` where a port is taken. Versions do not answer yet when this returns.
        """
        folder = request.folder
        check(request)
        shutil.rmtree(folder / LOGS, ignore_errors=True)
        (folder / LOGS).mkdir(parents=True)
        (folder / READY).unlink(missing_ok=True)
        # Written before the start, since the server reads it; the pid is added after.
        state = self.wanted(store, files, request)
        atomic_write(folder / STATE, json.dumps(state, indent=2))
        pid = detached.launch(self.module, folder, folder / LOGS / CONSOLE, self.environment(folder))
        atomic_write(folder / STATE, json.dumps(state | {"pid": pid}, indent=2))

    def halt(self, folder: Path) -> bool:
        """Stop the server of `folder`, and clear up; False if none was running."""
        folder = folder.resolve()
        running = self.read_state(folder) is not None
        # All that are ours: a `make serve` that is killed while it starts one has not written down which.
        detached.halt(self.module, folder)
        for name in (STATE, KEY_FILE, READY):
            (folder / name).unlink(missing_ok=True)
        return running

    def processes_of(self, folder: Path) -> list[psutil.Process]:
        """The servers of `folder` that run."""
        return detached.processes_of(self.module, folder)


def read_state(folder: Path) -> dict[str, Any] | None:
    """What a server of `folder` that hosts the app was started with, and its pid; none where none runs."""
    return Program(runtime_of(folder).name).read_state(folder)


def read_outcomes(folder: Path) -> dict[str, str]:
    """What `READY` says so far."""
    try:
        outcomes: dict[str, str] = json.loads((folder / READY).read_bytes())
    except (OSError, ValueError):
        return {}
    return outcomes


def check(request: ServeRequest, own: Set[int] = frozenset()) -> None:
    """Raise `ServerError` where a port is taken; the ports `own` count as free."""
    check_free(addresses(PORTS, request, own))


def log_end(folder: Path) -> str:
    """The end of what the server of `folder` wrote."""
    files = [file for name in (LOG, CONSOLE) if (file := folder / LOGS / name).exists()]
    return "\n".join(tail(file) for file in files)
