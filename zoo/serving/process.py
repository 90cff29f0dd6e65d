"""What every runtime needs that is a process of its own: free ports, what it was started with, the ends of its logs."""

import socket
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from zoo.serving.connection import KEY_FILE, RestServer, read_token
from zoo.serving.http import NoServerError, ServerError
from zoo.serving.runtime import LOOPBACK, ServeRequest
from zoo.study import Study


def addresses(purposes: Sequence[str], request: ServeRequest, own: Set[int]) -> dict[str, tuple[str, int]]:
    """For `check_free`: address and port of each purpose, counted from the request's port; without the ports `own`."""
    ports = {purpose: request.port + number for number, purpose in enumerate(purposes)}
    hosts = dict.fromkeys(purposes, LOOPBACK) | {purposes[0]: request.host}
    return {purpose: (hosts[purpose], port) for purpose, port in ports.items() if port not in own}


def listening(processes: Iterable[psutil.Process]) -> set[int]:
    """The ports on which processes listen."""
    ports: set[int] = set()
    for process in processes:
        with suppress(psutil.Error):  # it has ended
            ports |= {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    return ports


def check_free(ports: Mapping[str, tuple[str, int]], other: str = "PORT=8180") -> None:
    """Raise `ServerError` where one of the `ports` is taken; each has an address and a number, by its purpose.

    `other` is the setting that chooses another port.
    """
    for purpose, (host, port) in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise ServerError(f"port {port} ({purpose}): {error}; choose another: make serve {other}") from None


def state_of(runtime: str, request: ServeRequest) -> dict[str, Any]:
    """What a server's `STATE` says of its request."""
    digests = dict(request.digests)
    return {"runtime": runtime, "port": request.port, "host": request.host, "archives": digests} | (
        request.limits._asdict()
    )


def runs_already(state: Mapping[str, Any] | None, wanted: Mapping[str, Any], folder: Path) -> bool:
    """Whether the server of `folder` that wrote `state`, if one runs, is what is `wanted` now; prints a line."""
    if state is None:
        return False
    if {key: state.get(key) for key in wanted} != wanted:
        others = "settings" if state.get("archives") == wanted["archives"] else "archives"
        print(f"was running with other {others}: starting again")
        return False
    try:
        for kind in ("inference", "management"):
            read_token(folder / KEY_FILE, kind)
    except NoServerError as error:
        print(f"was running, but {str(error).partition(';')[0]}: starting again")
        return False
    print(f"already running on port {wanted['port']} with these {len(wanted['archives'])} archives")
    return True


def connect(state: Mapping[str, Any] | None, folder: Path, port: int | None = None) -> RestServer:
    """The server of `folder` that wrote `state`, on `port` if that is given. Raises `NoServerError` where none runs."""
    if port is None and state is None:
        study = folder.parent.name
        setting = "" if study == Study().name else f" STUDY={study}"
        raise NoServerError(f"no server of the study {study} is running; start it: make serve{setting}")
    state = state or {}
    return RestServer(folder, port or int(state["port"]), state if port in (None, state.get("port")) else {})


def tail(file: Path, lines: int = 15) -> str:
    """The last `lines` of a log."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"{file}: {error.strerror}"
