"""Real archives and real servers, for tests in many rooms."""

import itertools
import os
import random
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from compare.client import Zoo
from zoo.packaging import archive
from zoo.serving.connection import RestServer
from zoo.serving.limits import Limits
from zoo.serving.rest import process as hosted
from zoo.serving.runtime import DEFAULT, LOOPBACK, PATIENCE, RUNTIMES, get_runtime, runtime_of
from zoo.serving.start import serve
from zoo.serving.torchserve import archiver
from zoo.serving.torchserve import process as torchserve
from zoo.serving.torchserve.process import PORTS

SERVED_BY = tuple(RUNTIMES)
"""The runtimes, each of which must pass the tests of a server: one contract for all."""
LOGS = {"torchserve": ("ts_log.log", "access_log.log")} | dict.fromkeys(("local", "ray"), ("server.log", "access.log"))
"""The logs of each runtime."""


def _blocks() -> Iterator[int]:
    """The first ports of blocks of `PORTS`, by chance, each again only after all the others.

    Two that were asked for at once are never the same, nor are those of two workers of one run of pytest: each is
    still free until its server starts, seconds later.
    """
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    firsts = range(11_000, 32_000, len(PORTS))[int(worker.removeprefix("gw")) :: int(workers)]
    return itertools.cycle(random.SystemRandom().sample(firsts, len(firsts)))


BLOCKS = _blocks()


def free_ports() -> int:
    """The first of as many free ports in a row as a server needs."""
    while True:
        first = next(BLOCKS)
        try:
            for port in range(first, first + len(PORTS)):
                with socket.socket() as probe:
                    probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return first


def pack(entry: Mapping[str, Any], weights: Path, target: Path) -> None:
    """Pack an archive as `make zoo` does."""
    archive.pack(entry, weights, target, archiver.pack)


def start(
    archives: Path,
    folder: Path,
    port: int,
    seconds: float = PATIENCE,
    host: str = LOOPBACK,
    runtime: str = DEFAULT,
    limits: Limits | None = None,
    own: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Serve every archive of a folder as `make serve` does; `own` are settings of the runtime."""
    serve(get_runtime(runtime, **own), archives, folder, port, seconds, host, limits)


def stop(folder: Path) -> bool:
    """Stop the server of `folder`, whichever it is."""
    return runtime_of(folder.resolve()).stop(folder.resolve())


def state(folder: Path) -> dict[str, Any] | None:
    """What the server of `folder` was started with, and its pid; none where none runs."""
    return torchserve.read_state(folder) or hosted.read_state(folder)


def processes(folder: Path) -> list[psutil.Process]:
    """The server of `folder` and its workers."""
    running = state(folder)
    assert running is not None, "no server runs"
    server = psutil.Process(running["pid"])
    return [server, *server.children(recursive=True)]


def connect(folder: Path, port: int, **options: Any) -> Zoo:
    """A client of the server on `port` whose tokens are in `folder`; `options` are those of `Zoo`."""
    return Zoo(RestServer(folder, port, **options), **options)
