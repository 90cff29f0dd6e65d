"""TorchServe behind the runtime's protocol: start and wait until every version answers, stop, connect, logs."""

import re
import time
from collections.abc import Mapping, Set
from pathlib import Path

import psutil
from tqdm import tqdm

from zoo.kinds import KINDS
from zoo.serving.connection import RestServer, example_call
from zoo.serving.http import HttpClient, ServerError
from zoo.serving.process import connect, runs_already, tail
from zoo.serving.runtime import ServeRequest
from zoo.serving.torchserve import process
from zoo.serving.torchserve.process import NAME, halt, launch, log_end, read_state

MAX_DEATHS = 2
"""A version whose worker has died so often is given up (TorchServe goes on trying for five minutes)."""
PROBES = {kind.model: kind.probe for kind in KINDS.values()}


class TorchServe:
    """The runtime `torchserve` (`zoo.serving.runtime.Runtime`)."""

    name = NAME
    hosts_front = False
    example_call = staticmethod(example_call)

    def check(self, request: ServeRequest, own: Set[int]) -> None:
        """Raise `ServerError` where TorchServe is not installed, or a port is taken; the ports `own` count as free."""
        process.check(request, own)

    def start(self, archives: Path, versions: Mapping[str, tuple[str, str]], request: ServeRequest) -> dict[str, str]:
        """Serve these archives; returns why versions cannot be served, by name.

        Raises `ServerError` where a port is taken, or the server dies.
        """
        wanted = process.wanted(archives, list(versions), request)
        if not runs_already(read_state(request.folder), wanted, request.folder):
            halt(request.folder)
            launch(archives, list(versions), request)
        return _wait(list(versions.values()), request)

    def stop(self, folder: Path) -> bool:
        """Stop the server of `folder` and its workers; False if none was running."""
        return halt(folder)

    def processes(self, folder: Path) -> list[psutil.Process]:
        """The launchers and servers of `folder` that run."""
        return process.processes_of(folder.resolve())

    def connect(self, folder: Path, port: int | None = None) -> RestServer:
        """The server of `folder`, on `port` if that is given. Raises `NoServerError` where none is running."""
        return connect(read_state(folder), folder, port)

    def logs(self, folder: Path, lines: int) -> dict[Path, str]:
        """The last `lines` of each log file; the workers write into model_log.log, Java itself into console.log."""
        names = ("console.log", "ts_log.log", "model_log.log")
        files = [file for name in names if (file := folder / "logs" / name).exists()]
        return {file: tail(file, lines) for file in files if file.stat().st_size}


def _wait(pending: list[tuple[str, str]], request: ServeRequest) -> dict[str, str]:
    """Return when every version has answered a request, or never will; why these will not, by name.

    All workers start at once, and TorchServe ends those that take more than two minutes, and starts them again: on a
    busy machine some come late. So there is more time after each one that answers.
    """
    folder, deadline = request.folder, time.monotonic() + request.seconds
    server = RestServer(folder, request.port, seconds=10, tries=1)
    http = HttpClient(server.auth, seconds=10, tries=1)
    failures: dict[str, str] = {}
    try:
        with tqdm(total=len(pending), desc="versions ready", unit="version", disable=None) as bar:
            while pending:
                if read_state(folder) is None:
                    halt(folder)
                    raise ServerError(f"TorchServe died:\n{log_end(folder)}")
                late, ready = time.monotonic() > deadline, _ready(server)
                for model, name in list(pending):
                    failure = _failure(http, server.url, folder, model, name, ready)
                    if failure is None and late:
                        failure = f"no answer in time. {_first_error(folder, model, name)}"
                    if failure is not None:
                        pending.remove((model, name))
                        failures |= {name: failure} if failure else {}
                        if not failure:
                            bar.update()
                            deadline = time.monotonic() + request.seconds
                if pending:
                    time.sleep(0.5)
    finally:
        http.close()
        server.close()
    return failures


def _ready(server: RestServer) -> dict[tuple[str, str], bool] | None:
    """Whether each version is ready; none while management does not answer, which it does when all are unpacked."""
    try:
        return {(version.model, version.name): version.ready for version in server.status()}
    except ServerError:
        return None


def _failure(
    http: HttpClient, url: str, folder: Path, model: str, name: str, ready: dict[tuple[str, str], bool] | None
) -> str | None:
    """Why a version cannot be served; "" once it has answered a request; None as long as neither is known."""
    if ready is None:
        return None
    if (model, name) not in ready:
        return f"TorchServe could not unpack it; see {folder / 'logs' / 'ts_log.log'}"
    if ready[model, name]:
        content, content_type = PROBES[model]()
        try:
            http.call("POST", f"{url}/predictions/{model}/{name}", content, {"Content-Type": content_type})
            return ""
        except ServerError as error:
            if error.code is None:
                return None
    deaths = sum("worker process died" in line for line in _worker_lines(folder, model, name))
    return _first_error(folder, model, name) if deaths >= MAX_DEATHS else None


def _worker_lines(folder: Path, model: str, name: str) -> list[str]:
    """What the workers of a version have written."""
    try:
        text = (folder / "logs" / "model_log.log").read_text(errors="replace")
    except OSError:
        return []
    version = f"{model}_{re.escape(name)}"
    return re.findall(rf"^\S+ \[\w+ *\] W-\d+-{version}-std(?:out|err) MODEL_LOG - (.*)$", text, re.MULTILINE)


def _first_error(folder: Path, model: str, name: str) -> str:
    """The first error that a version's workers have written: later ones follow from it."""
    inside = False
    for line in _worker_lines(folder, model, name):
        if inside and not line.startswith(" "):
            return line
        inside = line.startswith("Traceback") or inside
    return f"see {folder / 'logs' / 'model_log.log'}"
