"""What every runtime needs that is a process of its own: free ports, and the ends of its logs."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.serving.connection import RestServer
from zoo.serving.http import NoServerError, ServerError
from zoo.serving.runtime import ServeRequest


def check_free(ports: Mapping[str, tuple[str, int]]) -> None:
    """Raise `ServerError` where one of the `ports` is taken; each has an address and a number, by its purpose."""
    for purpose, (host, port) in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise ServerError(f"port {port} ({purpose}): {error}; choose another: make serve PORT=8180") from None


def runs_already(state: Mapping[str, Any] | None, request: ServeRequest) -> bool:
    """Whether the server that wrote `state`, if one runs, serves what is requested; prints a line if so."""
    same = {"archives": dict(request.digests), "port": request.port, "host": request.host}
    if state is None or {key: state.get(key) for key in same} != same:
        return False
    print(f"already running on port {request.port} with these {len(request.digests)} archives")
    return True


def connect(state: Mapping[str, Any] | None, folder: Path, port: int | None = None) -> RestServer:
    """The server of `folder` that wrote `state`, on `port` if that is given. Raises `NoServerError` where none runs."""
    if port is None and state is None:
        raise NoServerError(f"no server of the study {folder.parent.name} is running; start it: make serve")
    return RestServer(folder, port or int((state or {})["port"]), (state or {}).get("archives"))


def tail(file: Path, lines: int = 15) -> str:
    """The last `lines` of a log."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"{file}: {error.strerror}"
