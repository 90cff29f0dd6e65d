"""What every runtime needs that is a process of its own: free ports, and the ends of its logs."""

import socket
from collections.abc import Mapping
from pathlib import Path

from zoo.serving.http import ServerError


def check_free(ports: Mapping[str, tuple[str, int]]) -> None:
    """Raise `ServerError` where one of the `ports` is taken; each has an address and a number, by its purpose."""
    for purpose, (host, port) in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise ServerError(f"port {port} ({purpose}): {error}; choose another: make serve PORT=8180") from None


def tail(file: Path, lines: int = 15) -> str:
    """The last `lines` of a log."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"{file}: {error.strerror}"
