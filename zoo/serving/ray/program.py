"""The server of the runtime `ray`, and a Ray of its own: started, found, and stopped, also after a part was killed."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lesions.files import atomic_write
from zoo.serving import detached
from zoo.serving.ray.settings import Settings
from zoo.serving.rest.process import ENVIRONMENT, Program
from zoo.serving.runtime import STATE, ServeRequest
from zoo.study import ROOT

MARK = "LESION_ZOO_RAY"
"""In the environment of each process of a Ray of our own: the server's folder, by which it is found."""
FILES = "ray"
"""In the server's folder, a link to the folder of Ray's own files: its sockets need a short path."""
CACHE = "archives"
"""In the server's folder: the archives that a Ray of our own serves, by content."""
SECONDS = 90
"""The time in which what was left on a cluster must be deleted, joining it included."""
SETTINGS = "ray"
"""Of the server's state: `Settings`."""


class RayProgram(Program):
    """`python -m zoo.serving.ray FOLDER`."""

    def __init__(self, chosen: Settings) -> None:
        super().__init__("ray")
        self._chosen = chosen

    @property
    def settings(self) -> Settings:
        """What was chosen, and the cluster that the environment names."""
        return self._chosen.model_copy(update={"address": os.environ.get("RAY_ADDRESS", "")})

    def wanted(self, store: Path, files: Mapping[str, str], request: ServeRequest) -> dict[str, Any]:
        """What the state says of a server that is started so."""
        return super().wanted(store, files, request) | {SETTINGS: self.settings.model_dump()}

    def environment(self, folder: Path) -> dict[str, str]:
        """What the server's environment has beside ours."""
        common = {**ENVIRONMENT, "RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}
        if self.settings.address:
            return common
        return common | {
            MARK: str(folder),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so it is no cluster, and Ray's ports are on loopback
            # Who reaches a port of Ray can run code: so only those who have the token, which is in no file.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ADDRESS": "",
            "RAY_worker_niceness": "0",  # Ray's are at 15, behind all else on the machine; these are the service
        }

    def halt(self, folder: Path) -> bool:
        """Stop the server of `folder` and a Ray of its own, and clear up; False if none was running."""
        folder = folder.resolve()
        state = self.last_state(folder)
        running = super().halt(folder)
        detached.end(self._ray_of(folder), signal.SIGKILL)
        files = folder / FILES
        if files.is_symlink():
            shutil.rmtree(files.resolve(), ignore_errors=True)
            files.unlink(missing_ok=True)
        shutil.rmtree(folder / CACHE, ignore_errors=True)
        address = state.get(SETTINGS, {}).get("address")
        if address and (problem := _clear(folder, address)):  # it may have been killed before all was deleted
            print(f"warning: {address} may still have replicas: {problem}; then again: make stop", file=sys.stderr)
            atomic_write(folder / STATE, json.dumps(state))
        return running

    def processes_of(self, folder: Path) -> list[psutil.Process]:
        """The servers of `folder` that run, and every process of a Ray of its own."""
        servers = super().processes_of(folder)
        return servers + [process for process in self._ray_of(folder) if process not in servers]

    def _ray_of(self, folder: Path) -> list[psutil.Process]:
        mine, processes = str(folder.resolve()), set[psutil.Process]()
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):  # another user's
                if process.environ().get(MARK) == mine:
                    # Its workers, too: the names that Ray gives them are written over their environment.
                    processes |= {process, *process.children(recursive=True)}
        return [process for process in processes if process.pid != os.getpid() and detached.is_alive(process)]


def _clear(folder: Path, address: str) -> str:
    """Delete what a server of `folder` left on a cluster; returns why that failed, or ""."""
    command = [sys.executable, "-m", "zoo.serving.ray.clear", str(folder), address]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS} s"
    last = done.stderr.strip().rpartition("\n")[2].removeprefix("error: ")
    return (last or f"exit code {done.returncode}") if done.returncode else ""
