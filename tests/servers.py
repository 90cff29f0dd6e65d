"""Real archives and a real TorchServe, for tests in many rooms."""

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.client import Zoo
from zoo.packaging import archive
from zoo.serving.runtime import LOOPBACK
from zoo.serving.start import serve
from zoo.serving.torchserve import RUNTIME
from zoo.serving.torchserve.connection import TorchServeServer
from zoo.serving.torchserve.process import PORTS


def free_ports() -> int:
    """The first of as many free ports in a row as a server needs; by chance, since others may look at the same time."""
    while True:
        first = random.SystemRandom().randrange(11_000, 32_000)
        try:
            for port in range(first, first + len(PORTS)):
                with socket.socket() as probe:
                    probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return first


def pack(entry: Mapping[str, Any], weights: Path, target: Path) -> None:
    """Pack an archive as `make zoo` does."""
    archive.pack(entry, weights, target, RUNTIME.pack)


def start(archives: Path, folder: Path, port: int, seconds: float = 180, host: str = LOOPBACK) -> None:
    """Serve every archive of a folder as `make serve` does."""
    serve(RUNTIME, archives, folder, port, seconds, host)


def stop(folder: Path) -> bool:
    """Stop the server of `folder`."""
    return RUNTIME.stop(folder.resolve())


def connect(folder: Path, port: int, **options: Any) -> Zoo:
    """A client of the server on `port` whose tokens are in `folder`; `options` are those of `Zoo`."""
    return Zoo(TorchServeServer(folder, port, **options), **options)
