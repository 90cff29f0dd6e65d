"""The smallest zoo: a random classifier and a random generator, in a mock context and in real servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import torch
from ts.context import Context, RequestProcessor

from gan.networks import Generator
from handlers.lesion_classifier import LesionClassifier
from handlers.lesion_generator import LesionGenerator
from lesions.labels import CLASSES, NOTICE
from tests.networks import digest, save_generator, save_model
from tests.servers import free_ports, pack, start, stop
from zoo.models.network import build
from zoo.models.session import MODEL
from zoo.serving.runtime import DEFAULT, LOOPBACK

Handler = LesionClassifier | LesionGenerator

PIXELS, WIDTH = 64, 4

NAMES = {"classifier": "baseline", "generator": "sagan"}
"""The entry of each kind."""

PREDICTIONS = {kind: f"/predictions/lesion_{kind}/{name}" for kind, name in NAMES.items()}
EXPLANATIONS = "/explanations/lesion_classifier/baseline"


def made(kind: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """A random network in `folder`, as an archive unpacks to: its entry and its model."""
    torch.manual_seed(0)
    if kind == "classifier":
        model = save_model(build("test_efficientnet"), folder / MODEL, PIXELS)
    else:
        model = save_generator(Generator(PIXELS, WIDTH, spectral_norm=False), WIDTH, folder / MODEL)
    own = {"architecture": "test_efficientnet", "classes": list(CLASSES), "mean": [0.5] * 3, "deviation": [0.2] * 3}
    entry = {
        "entry": NAMES[kind],
        "kind": kind,
        "study": "tests",
        "about": "?",
        "notice": NOTICE,
        "data": "phantom",
        "data_licence": "CC BY-NC 4.0",
        "pixels": PIXELS,
        "recipe": {},
        "scores": {},
        "split_sha256": "0" * 64,
        "versions": {},
        "commit": "",
        "model_sha256": digest(model),
        "weights_sha256": "",
    }
    entry |= own if kind == "classifier" else {"width": WIDTH}
    (folder / "entry.json").write_text(json.dumps(entry))
    return entry, model


def loaded(kind: str, folder: Path) -> Handler:
    """The handler of a random network."""
    made(kind, folder)
    handler = LesionClassifier() if kind == "classifier" else LesionGenerator()
    handler.initialize(_context(folder, []))
    return handler


def ask(handler: Handler, *requests: tuple[dict[str, Any], dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Status and answer of each request of one batch; a request is its fields and its headers."""
    context = _context(Path(), [dict(headers) for _, headers in requests])
    answers = handler.handle([dict(fields) for fields, _ in requests], context)
    return [(context.get_response_status(index)[0], answer) for index, answer in enumerate(answers)]


def _context(folder: Path, headers: list[dict[str, Any]]) -> Context:
    context = Context("", str(folder), {"model": {}}, len(headers), None, "0.12.0")
    context.request_processor = [RequestProcessor(header) for header in headers]
    return context


class Served(NamedTuple):
    """A real server with both."""

    store: Path
    folder: Path
    port: int
    runtime: str = DEFAULT

    def keys(self) -> dict[str, str]:
        """Its tokens, by what they are for: inference, management, API."""
        return {kind: own["key"] for kind, own in json.loads((self.folder / "key_file.json").read_text()).items()}

    def http(self, kind: str | None = "inference", offset: int = 0) -> httpx.Client:
        """A client of its port + `offset`, with the token of a kind or none."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port + offset}",
            headers={} if kind is None else {"Authorization": f"Bearer {self.keys()[kind]}"},
            timeout=30,
            trust_env=False,
        )

    def workers(self) -> list[tuple[str, str, str]]:
        """Which processes answer, and since when: the same ones as long as none has died."""
        with self.http("management", 1) as http:
            rows = [http.get(f"/models/lesion_{kind}/{name}").json()[0] for kind, name in NAMES.items()]
        return [(row["modelName"], worker["pid"], worker["startTime"]) for row in rows for worker in row["workers"]]


@contextmanager
def serving(
    root: Path, runtime: str = DEFAULT, host: str = LOOPBACK, kinds: tuple[str, ...] = tuple(NAMES)
) -> Iterator[Served]:
    """A real server with archives of these `kinds`, its files in `root`."""
    store, folder = root / "store", root / "serve"
    for kind in kinds:
        entry, model = made(kind, root / kind)
        pack(entry, model, store / f"{NAMES[kind]}.mar")
    port = free_ports()
    try:
        start(store, folder, port, host=host, runtime=runtime)
        yield Served(store, folder, port, runtime)
    finally:
        stop(folder)
