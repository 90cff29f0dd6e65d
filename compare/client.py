"""A REST client of the served zoo."""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import httpx

from compare.gateway import GatewayServer
from lesions.labels import CLASSES
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.serving.http import HttpClient, ServerError, expect_zoo_answer
from zoo.serving.runtime import Server, runtime_of
from zoo.study import Folders

CHUNK = 64
"""Synthetic images of one call: 64 of 128 px take a processor some seconds."""
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}


class Answer(TypedDict):
    """What a version predicts of one picture; `probabilities` by class name, 0 to 1, calibrated.

    `distance` is that of the features from those of validation, about 1 where they are alike, if the version has it.
    """

    label: str
    probabilities: dict[str, float]
    distance: NotRequired[float]
    entry: str
    study: str
    notice: str


class Explanation(NamedTuple):
    """Where in a picture a version sees a class."""

    overlay: bytes
    """A PNG: the picture's center square, at most 512 px, with Grad-CAM on it."""
    blank: bool
    """Whether nothing in the picture speaks for the class: the overlay then has no colors."""


class Zoo:
    """A connection to one server, kept open between calls; safe to share between threads."""

    def __init__(
        self,
        server: Server,
        *,
        seconds: float = 30,
        tries: int = 6,
        pause: float = 0.2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`server` has the URL and the credentials, and answers what concerns versions.

        A call waits `seconds` at most for an answer, and is made up to `tries` times, with pauses that double from
        `pause` seconds. `transport` replaces the network in tests.
        """
        self.server, self.url = server, server.url
        self._http = HttpClient(server.auth, seconds=seconds, tries=tries, pause=pause, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()
        self.server.close()

    def versions(self, model: str = CLASSIFIER.model) -> list[str]:
        """The names of the served versions of `model`, sorted. Raises `ServerError`."""
        return self.server.versions(model)

    def describe(self, version: str) -> dict[str, Any]:
        """The `entry.json` of a served classifier: recipe, scores, hashes; perhaps without what is null.

        Raises `ServerError`.
        """
        return self.server.describe(CLASSIFIER.model, version)

    def default(self) -> str:
        """The version that answers where a call names none. Raises `ServerError`."""
        return self.server.default(CLASSIFIER.model)

    def set_default(self, version: str) -> None:
        """Let `version` answer where a call names none, until the server stops. Raises `ServerError`."""
        self.server.set_default(CLASSIFIER.model, version)

    def classify(self, image: bytes | str | Path, version: str) -> Answer:
        """What `version` predicts of a picture: the bytes of its file, or that file's path. Raises `ServerError`."""
        with self._post("predictions", CLASSIFIER.model, version, _content(image), BYTES) as answer:
            return _parse_answer(answer)

    def explain(self, image: bytes | str | Path, version: str, label: str | None = None) -> Explanation:
        """Where in a picture `version` sees the class `label` (none: the one that it predicts).

        Raises `ServerError`.
        """
        content, headers = _content(image), BYTES
        if label is not None:
            form = httpx.Request("POST", self.url, files={"image": content}, data={"class": label})
            content, headers = form.read(), {"Content-Type": form.headers["Content-Type"]}
        with self._post("explanations", CLASSIFIER.model, version, content, headers) as answer:
            return Explanation(base64.b64decode(answer["overlay"]), bool(answer["blank"]))

    def synthesize(self, label: str, count: int, seed: int, version: str, first: int = 0) -> list[bytes]:
        """`count` synthetic images of class `label` by the generator `version`: PNG, 8-bit RGB, each as bytes.

        Image k depends on (`seed`, `first` + k) alone. Many are requested in chunks. Raises `ServerError`.
        """
        images: list[bytes] = []
        while len(images) < count or not images:
            chunk = min(CHUNK, count - len(images))
            request = {"class": label, "count": chunk, "seed": seed, "first": first + len(images)}
            with self._post("predictions", GENERATOR.model, version, json.dumps(request).encode(), JSON) as answer:
                if not answer["images"]:
                    raise ValueError("no images")  # else they would be requested for ever
                images += [base64.b64decode(image) for image in answer["images"]]
        return images

    def grid(self, label: str, count: int, seed: int, version: str) -> bytes:
        """One PNG of `count` synthetic images of class `label`; of `all`: a row a class. Raises `ServerError`."""
        request = {"class": label, "count": count, "seed": seed, "format": "grid"}
        with self._post("predictions", GENERATOR.model, version, json.dumps(request).encode(), JSON) as answer:
            return base64.b64decode(answer["image"])

    @contextmanager
    def _post(self, path: str, model: str, version: str, content: bytes, headers: dict[str, str]) -> Iterator[Any]:
        """A version's answer to `content`: inside, a `LookupError`, `TypeError` or `ValueError` is a `ServerError`."""
        url = self.server.call_url(path, model, version)
        with expect_zoo_answer(url):
            yield self._http.call("POST", url, content, headers).json()


def connect(study: str, port: int | None = None, seconds: float = 60) -> Zoo:
    """A connection to the running server of a study, on `port` if that is given.

    Raises `NoServerError` where none is running.
    """
    folder = Folders(study).serve
    return Zoo(runtime_of(folder).connect(folder, port), seconds=seconds)


def through_gateway(url: str, key: str, seconds: float = 60) -> Zoo:
    """A connection to a gateway, on any machine: `url` is http://127.0.0.1:8000, say, and `key` is of `make key`."""
    return Zoo(GatewayServer(url, key), seconds=seconds)


def _parse_answer(content: Any) -> Answer:
    """The answer, if it has the zoo's shape. Raises `ValueError`, `TypeError` or `LookupError` if not."""
    probabilities = {name: float(content["probabilities"][name]) for name in CLASSES}
    if content["label"] not in CLASSES or not all(0 <= probability <= 1 for probability in probabilities.values()):
        raise ValueError("no probabilities of the classes")
    entry, study, notice = (str(content[name]) for name in ("entry", "study", "notice"))
    answer = Answer(label=content["label"], probabilities=probabilities, entry=entry, study=study, notice=notice)
    return answer | {"distance": float(content["distance"])} if "distance" in content else answer


def _content(image: bytes | str | Path) -> bytes:
    """The bytes of a picture's file. Raises `ServerError` where it cannot be read."""
    try:
        return Path(image).read_bytes() if isinstance(image, str | os.PathLike) else image
    except OSError as error:
        raise ServerError(f"{error.filename}: {error.strerror}") from None
