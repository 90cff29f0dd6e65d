"""What a runtime is: it serves archives, and gives clients a URL and credentials.

A further runtime is a package here that has a `RUNTIME`, and a line in `RUNTIMES`.
"""

import json
from collections.abc import Mapping, Set
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import httpx
import psutil

from lesions.errors import UserError
from zoo.serving.limits import Limits

STATE = "server.json"
"""In a server's folder: all that it is started with, written before: runtime, port, host, limits, archives' digests."""
LOOPBACK, ALL_NETWORKS = "127.0.0.1", "0.0.0.0"
"""Where predictions are answered: for this machine only, or on all its networks. All else is answered on loopback."""


class Version(NamedTuple):
    """One served version; it is `ready` if a worker can answer."""

    model: str
    name: str
    ready: bool
    workers: int


class Server(Protocol):
    """A running server, for clients. All methods raise `ServerError`."""

    @property
    def port(self) -> int:
        """Where predictions are answered."""

    @property
    def url(self) -> str:
        """What the paths of the REST calls are appended to."""

    @property
    def auth(self) -> httpx.Auth:
        """The credentials of the REST calls."""

    @property
    def max_request_bytes(self) -> int:
        """The largest body of a request that it takes."""

    def call_url(self, call: str, model: str, version: str) -> str:
        """Where a version of a model answers a call, "predictions" or "explanations"."""

    def versions(self, model: str) -> list[str]:
        """The names of the served versions of `model`, sorted; none where there is no such model."""

    def status(self) -> list[Version]:
        """Every served version, sorted."""

    def describe(self, model: str, version: str) -> dict[str, Any]:
        """The `entry.json` of a version, perhaps without what is null."""

    def default(self, model: str) -> str:
        """The version that answers where a call names none."""

    def set_default(self, model: str, version: str) -> None:
        """Let `version` answer where a call names none, until the server stops."""

    def renew_credentials(self) -> None:
        """Renew credentials that have expired or soon will; the old ones are void at once."""

    def close(self) -> None:
        """Close all connections."""

    def archives(self) -> dict[str, str]:
        """The sha256 (hex) of the archives that it serves, by file name; empty if that is not known."""


class Runtime(Protocol):
    """A way to serve archives. `folder` is the study's own, `runs/<study>/serve`: settings, logs, credentials."""

    name: str
    """By which it is chosen."""
    hosts_front: bool
    """Whether it runs a request's `front` in its own process."""

    def check(self, request: "ServeRequest", own: Set[int]) -> None:
        """Raise `ServerError` where it cannot be started: something is not installed, or a port is taken.

        The ports `own` count as free.
        """

    def start(self, archives: Path, versions: Mapping[str, tuple[str, str]], request: "ServeRequest") -> dict[str, str]:
        """Serve these archives of the folder `archives`, and return when each version has answered a request.

        `versions` has model and version by file name. Returns why versions cannot be served, by name; the others are.
        A server that runs already with the same `request` is left alone, another one of the same folder is replaced.
        """

    def stop(self, folder: Path) -> bool:
        """Stop the server of `folder` and its workers; False if none was running."""

    def processes(self, folder: Path) -> list[psutil.Process]:
        """The servers of `folder` that run, also those of a start that was killed."""

    def connect(self, folder: Path, port: int | None = None) -> Server:
        """The server of `folder`, on `port` if that is given. Raises `NoServerError` where none is running."""

    def logs(self, folder: Path, lines: int) -> dict[Path, str]:
        """The last `lines` of each log file."""

    def example_call(self, folder: Path, url: str, content: str) -> str:
        """A shell command that sends `content`, as curl's options say it, to `url` with valid credentials."""


@runtime_checkable
class Configurable(Protocol):
    """A runtime with settings of its own."""

    def configured(self, **settings: str) -> Runtime:
        """The same one with these settings, as they were typed. Raises `UserError`."""


class Front(NamedTuple):
    """An ASGI app before a runtime, on a port of its own: `module` has `app(inner, folder, options)`, which makes it.

    `inner` is the runtime's own app, and `folder` the server's.
    """

    module: str
    host: str
    port: int
    options: dict[str, Any]
    """What JSON can hold."""


PATIENCE = 300.0
"""The default of `ServeRequest.seconds`."""


class ServeRequest(NamedTuple):
    """What a server is started with."""

    folder: Path
    port: int
    host: str
    digests: Mapping[str, str]
    """The sha256 (hex) of each archive, by file name."""
    limits: Limits
    seconds: float = PATIENCE
    """The longest time in which no further version answers; then those that do not are given up."""
    front: Front | None = None
    """What a runtime that `hosts_front` runs in its process, too."""


RUNTIMES = {"torchserve": "zoo.serving.torchserve", "local": "zoo.serving.local", "ray": "zoo.serving.ray"}
"""The packages of the runtimes, by name; the first is the default."""
DEFAULT = next(iter(RUNTIMES))


def get_runtime(name: str = DEFAULT, **settings: str) -> Runtime:
    """The runtime of that name, with `settings` of its own, those that are not empty.

    Raises `UserError` where there is none, or it has no such setting.
    """
    if name not in RUNTIMES:
        raise UserError(f"RUNTIME={name}: there is {', '.join(RUNTIMES)}")
    runtime: Runtime = import_module(RUNTIMES[name]).RUNTIME
    given = {setting: value for setting, value in settings.items() if value}
    if not given:
        return runtime
    if not isinstance(runtime, Configurable):
        raise UserError(f"{', '.join(given).upper()}: RUNTIME={name} has no such setting; RUNTIME=ray has")
    return runtime.configured(**given)


def runtime_of(folder: Path) -> Runtime:
    """The runtime that a server's `folder` was last started with; the default one where that is not known."""
    try:
        name = str(json.loads((folder / STATE).read_bytes())["runtime"])
    except (OSError, ValueError, LookupError, TypeError):
        name = DEFAULT
    return get_runtime(name if name in RUNTIMES else DEFAULT)
