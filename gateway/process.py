"""The gateway as a process of its own: started, found again, and stopped."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from gateway.settings import Settings
from lesions.files import atomic_write
from zoo.serving import detached
from zoo.serving.http import ServerError
from zoo.serving.process import tail
from zoo.serving.runtime import LOOPBACK

MODULE = "gateway.server"
STATE = "gateway.json"
"""In the server's folder: what the gateway was started with, and its pid."""
CONSOLE = "gateway_console.log"
"""In the server's folder: what the process prints, as where it cannot start."""
SECONDS = 60
"""The time in which it must answer."""


def read_state(folder: Path) -> dict[str, Any] | None:
    """What `start` wrote into `folder` (settings, pid), if that gateway still runs."""
    return detached.read_state(MODULE, folder.resolve(), STATE)


def start(settings: Settings) -> None:
    """Start the gateway, and return when it answers; one that runs with the same settings is left alone.

    Raises `ServerError` where it does not answer in time, or ends; then nothing of it is left.
    """
    folder, wanted = settings.folder, settings.model_dump(mode="json")
    state = read_state(folder)
    if state and state["settings"] == wanted:
        return
    if state:
        print("gateway: was running with other settings: starting again; older links to its page end")
    halt(folder)
    atomic_write(folder / STATE, json.dumps({"settings": wanted}, indent=1))
    deadline = time.monotonic() + SECONDS
    try:
        pid = detached.launch(MODULE, folder, folder / CONSOLE, {})
        atomic_write(folder / STATE, json.dumps({"settings": wanted, "pid": pid}, indent=1))
        while not answers(settings.port):
            if read_state(folder) is None or time.monotonic() > deadline:
                raise ServerError(f"the gateway did not start:\n{tail(folder / CONSOLE)}")
            time.sleep(0.1)
    except (KeyboardInterrupt, ServerError):  # it has a session of its own and would live on
        with detached.uninterrupted():
            halt(folder)
        raise


def answers(port: int) -> bool:
    """Whether a gateway answers on a port of this machine."""
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/v2/health/live", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def halt(folder: Path) -> bool:
    """Stop the gateway of `folder`; False if none was running."""
    folder = folder.resolve()
    running = read_state(folder) is not None
    detached.halt(MODULE, folder)  # also one of a `make serve` that was killed while it started it
    (folder / STATE).unlink(missing_ok=True)
    return running


def processes_of(folder: Path) -> list[psutil.Process]:
    """The gateways of `folder` that run."""
    return detached.processes_of(MODULE, folder.resolve())
