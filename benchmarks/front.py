"""A gateway before a runtime, for timings of what it answers."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from gateway import start
from gateway.keys import SCOPES, Keys
from gateway.settings import Settings
from tests.servers import free_ports
from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK, get_runtime


@contextlib.contextmanager
def serving(folder: Path, runtime: str) -> Iterator[tuple[Settings, str]]:
    """The archives of `folder`/store, served; and a key for as many calls as one likes."""
    port, keys = free_ports(), folder / "keys.json"
    settings = Settings(
        host=LOOPBACK,
        port=port + 20,
        runtime_port=port,
        folder=folder / runtime / "serve",
        archives=folder / "store",
        keys=keys,
        max_request_bytes=limits().max_request_bytes,
    )
    settings.folder.mkdir(parents=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            start.serve(get_runtime(runtime), settings, LOOPBACK, limits())
        yield settings, Keys(keys).add(runtime, SCOPES, "999999/second")
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            start.stop(settings.folder)
