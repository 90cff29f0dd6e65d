"""A gateway before a real server of two versions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from gateway import start
from gateway.keys import SCOPES, Keys
from gateway.settings import Settings
from tests.faults.small_zoo import NAMES, made
from tests.gateway.moody import Mood, moody
from tests.networks import digest
from tests.servers import free_ports, pack
from zoo.models.session import MODEL
from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK, get_runtime

ORIGIN = "https://example.org"
NONE: Mapping[str, Mood | None] = {}


class Served(NamedTuple):
    """A running gateway and the server behind it."""

    settings: Settings
    runtime: str
    key: str
    own: Mapping[str, str] = MappingProxyType({})
    """The runtime's own settings."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.settings.port}"

    def http(self, key: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def start(self, **changes: Any) -> None:
        """Start both, as `make serve` does."""
        settings = self.settings.model_copy(update=changes)
        start.serve(get_runtime(self.runtime, **self.own), settings, LOOPBACK, limits(1))


@contextmanager
def serving(
    root: Path,
    runtime: str,
    origins: tuple[str, ...] = (ORIGIN,),
    others: Mapping[str, Mood | None] = NONE,
    own: Mapping[str, str] = MappingProxyType({}),
    **changes: Any,
) -> Iterator[Served]:
    """A gateway before a server of a classifier and a generator, with a key for everything.

    `others` are further versions of the same classifier, some with a mood; `own` are settings of the runtime, and
    `changes` of the gateway.
    """
    for kind, name in NAMES.items():
        (root / kind).mkdir()
        entry, model = made(kind, root / kind)
        pack(entry, model, root / "store" / f"{name}.mar")
        for other, mood in others.items() if kind == "classifier" else ():
            other_model = moody(model, mood, root / other / MODEL) if mood else model
            changed = entry | {"entry": other, "model_sha256": digest(other_model)}
            pack(changed, other_model, root / "store" / f"{other}.mar")
    settings = Settings(
        host=LOOPBACK,
        port=free_ports(),
        runtime_port=free_ports(),
        folder=(root / "serve").resolve(),
        archives=root / "store",
        keys=root / "keys" / "api_keys.json",
        origins=origins,
        max_request_bytes=1_000_000,
    )
    served = Served(settings, runtime, Keys(settings.keys).add("tests", SCOPES, "100000/minute"), own)
    try:
        served.start(**changes)
        yield served
    finally:
        start.stop(settings.folder)
