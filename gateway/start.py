"""`make serve`: the runtime, and the gateway before it."""

from pathlib import Path
from typing import Any

from psutil import Process

from gateway import process
from gateway.settings import Settings
from lesions.files import file_lock
from zoo.serving import start
from zoo.serving.http import ServerError
from zoo.serving.limits import Limits
from zoo.serving.process import check_free, listening
from zoo.serving.rest.process import read_state
from zoo.serving.runtime import RUNTIMES, Front, Runtime, get_runtime, runtime_of
from zoo.serving.torchserve.process import PORTS

MODULE = "gateway.local"
OTHER = "GATEWAY_PORT=8100"


def serve(runtime: Runtime, settings: Settings, host: str, limits: Limits, partly: bool = False) -> tuple[str, str]:
    """Start the runtime as `zoo.serving.start.serve` does, and the gateway; returns model and version of one.

    Nothing is started or stopped where the gateway's port is taken. Raises `ServerError`.
    """
    folder, port = settings.folder, settings.port
    start.check_host(host)
    if settings.runtime_port <= port < settings.runtime_port + len(PORTS):
        raise ServerError(f"port {port} (gateway): it is one of the runtime's; choose another: make serve {OTHER}")
    before = _processes(folder)
    if port not in listening(before):
        check_free({"gateway": (settings.host, port)}, OTHER)
    front, may_start = None, False
    if runtime.hosts_front:
        front = Front(MODULE, settings.host, port, settings.model_dump(mode="json"))

    def checked() -> None:
        nonlocal may_start, before
        may_start, before = True, _processes(folder)  # another `make serve` may have started some
        if front:  # the one process has both; another gateway would keep the port
            process.halt(folder)

    def start_gateway() -> None:
        if may_start and not front and runtime.processes(folder):
            with file_lock(folder), start.ended_by_interrupt(runtime, folder, before):  # another `make serve`
                process.start(settings)

    try:
        served = start.serve(
            runtime,
            settings.archives,
            folder,
            settings.runtime_port,
            host=host,
            limits=limits,
            front=front,
            checked=checked,
            partly=partly,
        )
    except ServerError:  # some versions cannot be served: the others are
        start_gateway()
        raise
    start_gateway()
    return served


def _processes(folder: Path) -> list[Process]:
    """The runtimes and gateways of `folder` that run."""
    return [one for name in RUNTIMES for one in get_runtime(name).processes(folder)] + process.processes_of(folder)


def stop(folder: Path) -> bool:
    """Stop the gateway of `folder`, and the runtime behind it; False if neither was running."""
    stopped = process.halt(folder)
    return runtime_of(folder).stop(folder) or stopped


def running(folder: Path) -> dict[str, Any] | None:
    """The settings of the gateway of `folder`, wherever it runs; none where it does not."""
    if state := process.read_state(folder):
        return dict(state["settings"])
    front = (read_state(folder) or {}).get("front")
    return dict(front["options"]) if front else None
