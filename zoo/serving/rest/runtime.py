"""A runtime whose server is one process: start and wait until every version answers, stop, connect, logs."""

import time
from collections.abc import Mapping, Set
from pathlib import Path

import psutil
from tqdm import tqdm

from zoo.serving.connection import RestServer, example_call
from zoo.serving.http import HttpClient, ServerError
from zoo.serving.process import connect, runs_already, tail
from zoo.serving.rest import process
from zoo.serving.rest.process import ACCESS_LOG, CONSOLE, LOG, LOGS, Program, log_end, read_outcomes
from zoo.serving.runtime import ServeRequest


class OneProcess:
    """A runtime whose server is one process that hosts the app (`zoo.serving.runtime.Runtime`)."""

    hosts_front = True
    example_call = staticmethod(example_call)

    def __init__(self, program: Program) -> None:
        self.program, self.name = program, program.name

    def check(self, request: ServeRequest, own: Set[int]) -> None:
        """Raise `ServerError` where a port is taken; the ports `own` count as free."""
        process.check(request, own)

    def start(self, archives: Path, versions: Mapping[str, tuple[str, str]], request: ServeRequest) -> dict[str, str]:
        """Serve these archives; returns why versions cannot be served, by name.

        Raises `ServerError` where a port is taken, or the server dies.
        """
        files = {file: name for file, (_, name) in versions.items()}
        wanted = self.program.wanted(archives, files, request)
        if not runs_already(self.program.read_state(request.folder), wanted, request.folder):
            self.program.halt(request.folder)
            self.program.launch(archives, files, request)
        return _wait(self.program, len(versions), request)

    def stop(self, folder: Path) -> bool:
        """Stop the server of `folder`; False if none was running."""
        return self.program.halt(folder)

    def processes(self, folder: Path) -> list[psutil.Process]:
        """The servers of `folder` that run."""
        return self.program.processes_of(folder.resolve())

    def connect(self, folder: Path, port: int | None = None) -> RestServer:
        """The server of `folder`, on `port` if that is given. Raises `NoServerError` where none is running."""
        return connect(self.program.read_state(folder), folder, port)

    def logs(self, folder: Path, lines: int) -> dict[Path, str]:
        """The last `lines` of each log file."""
        files = [file for name in (CONSOLE, LOG, ACCESS_LOG) if (file := folder / LOGS / name).exists()]
        return {file: tail(file, lines) for file in files if file.stat().st_size}


def _wait(program: Program, count: int, request: ServeRequest) -> dict[str, str]:
    """Return when all of `count` versions answer, or never will; why these will not, by name."""
    folder, deadline = request.folder, time.monotonic() + request.seconds
    outcomes: dict[str, str] = {}
    with tqdm(total=count, desc="versions ready", unit="version", disable=None) as bar:
        while len(outcomes) < count:
            before, outcomes = len(outcomes), read_outcomes(folder)
            if len(outcomes) > before:
                deadline = time.monotonic() + request.seconds
            bar.update(sum(not problem for problem in outcomes.values()) - bar.n)
            if len(outcomes) < count:
                _check(program, folder, deadline)
                time.sleep(0.1)
    server = RestServer(folder, request.port, seconds=10, tries=1)
    http = HttpClient(server.auth, seconds=10, tries=1)
    try:
        while not _answers(http, server):
            _check(program, folder, deadline)
            time.sleep(0.1)
    finally:
        http.close()
        server.close()
    return {name: problem for name, problem in outcomes.items() if problem}


def _answers(http: HttpClient, server: RestServer) -> bool:
    """Whether both ports that want tokens answer, with tokens that are renewed if need be."""
    try:
        server.status()
        http.call("GET", f"{server.url}/ping")
    except ServerError:
        return False
    return True


def _check(program: Program, folder: Path, deadline: float) -> None:
    """Raise `ServerError` where the server has died, or it is too late; then nothing of it is left."""
    if program.read_state(folder) is None:
        message = f"the server died:\n{log_end(folder)}"
    elif time.monotonic() > deadline:
        message = f"the server is not ready in time:\n{log_end(folder)}"
    else:
        return
    program.halt(folder)
    raise ServerError(message)
