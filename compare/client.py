"""A REST client of the served zoo."""

import base64
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict
from urllib.parse import quote

import httpx

from lesions.errors import UserError
from lesions.labels import CLASSES
from zoo.serving.torchserve.server import token

MODEL = "lesion_classifier"
GENERATOR = "lesion_generator"

PART = 64
"""Synthetic images asked for at once: 64 of 128 px take a processor some seconds."""

JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}

AGAIN = frozenset({500, 502, 503, 504, 507})
"""Statuses that may pass: a full queue, or a worker that died and is started again."""

STALE = "InvalidKeyException"
"""What TorchServe calls a token that is wrong or has expired; it comes as 400."""

LONGEST_PAUSE = 5.0


class ZooError(UserError):
    """A question without an answer; `str()` says why, `code` is the HTTP status if there was one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class NoServer(ZooError):
    """Nobody listens, or the tokens are those of a server that is gone."""


class Answer(TypedDict):
    """What a version says of one picture; `probabilities` by class name, 0 to 1, calibrated."""

    label: str
    probabilities: dict[str, float]
    entry: str
    study: str
    notice: str


class Zoo:
    """A connection to one server, kept open between calls; safe to share between threads."""

    def __init__(
        self,
        port: int,
        key_file: Path,
        *,
        seconds: float = 30,
        tries: int = 6,
        pause: float = 0.2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Answers come from `port`, management is on the next one, and tokens are in `key_file`.

        A call waits `seconds` at most for an answer, and is made up to `tries` times, with pauses that double from
        `pause` seconds. `transport` stands in for the network in tests.
        """
        self.url = f"http://127.0.0.1:{port}"
        self.management = f"http://127.0.0.1:{port + 1}"
        self._key_file, self._tries, self._pause = key_file, tries, pause
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=None)  # as many as there are threads
        self._http = httpx.Client(
            timeout=seconds,
            trust_env=False,  # loopback: through no proxy
            limits=unlimited,
            transport=transport,
        )
        self._tokens: dict[str, str] = {}
        self._renewal = threading.Lock()  # two at once would each spoil the other's new token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def versions(self, model: str = MODEL) -> list[str]:
        """The names of the served versions of `model`, sorted. Raises `ZooError`."""
        url = f"{self.management}/models/{model}/all"
        with _understood(url):
            return sorted(str(row["modelVersion"]) for row in self._call("GET", url, "management").json())

    def describe(self, version: str) -> dict[str, Any]:
        """The `entry.json` of a served classifier: recipe, scores, hashes; TorchServe leaves out what is null.

        Raises `ZooError`.
        """
        url = f"{self.management}/models/{MODEL}/{quote(version, safe='')}?customized=true"
        with _understood(url):
            return dict(self._call("GET", url, "management").json()[0]["customizedMetadata"])

    def default(self) -> str:
        """The version that answers where a call names none. Raises `ZooError`."""
        url = f"{self.management}/models/{MODEL}"
        with _understood(url):
            return str(self._call("GET", url, "management").json()[0]["modelVersion"])

    def set_default(self, version: str) -> None:
        """Let `version` answer where a call names none, until the server stops. Raises `ZooError`."""
        url = f"{self.management}/models/{MODEL}/{quote(version, safe='')}/set-default"
        self._call("PUT", url, "management")

    def classify(self, image: bytes | Path, version: str) -> Answer:
        """What `version` says of a picture, given as the bytes of its file or as that file. Raises `ZooError`."""
        url = f"{self.url}/predictions/{MODEL}/{quote(version, safe='')}"
        with _understood(url):
            return _answer(self._call("POST", url, "inference", _content(image), BYTES).json())

    def explain(self, image: bytes | Path, version: str, label: str | None = None) -> bytes:
        """Where in a picture `version` sees the class `label` (none: the one that it predicts).

        A PNG: the picture's center square, at most 512 px, with Grad-CAM laid on it. Raises `ZooError`.
        """
        url = f"{self.url}/explanations/{MODEL}/{quote(version, safe='')}"
        content, headers = _content(image), BYTES
        if label is not None:
            form = httpx.Request("POST", url, files={"image": content}, data={"class": label})
            content, headers = form.read(), {"Content-Type": form.headers["Content-Type"]}
        with _understood(url):
            return base64.b64decode(self._call("POST", url, "inference", content, headers).json()["overlay"])

    def synthesize(self, label: str, count: int, seed: int, version: str, first: int = 0) -> list[bytes]:
        """`count` synthetic images of class `label` by the generator `version`: PNG, 8-bit RGB, each as bytes.

        Image k depends on (`seed`, `first` + k) alone. Many are asked for in parts. Raises `ZooError`.
        """
        url = f"{self.url}/predictions/{GENERATOR}/{quote(version, safe='')}"
        images: list[bytes] = []
        while len(images) < count or not images:
            part = min(PART, count - len(images))
            wish = {"class": label, "count": part, "seed": seed, "first": first + len(images)}
            with _understood(url):
                answer = self._call("POST", url, "inference", json.dumps(wish).encode(), JSON).json()
                images += (drawn := [base64.b64decode(image) for image in answer["images"]])
                if not drawn:  # else it would be asked for ever
                    raise ValueError("no images")
        return images

    def grid(self, label: str, count: int, seed: int, version: str) -> bytes:
        """One PNG of `count` synthetic images of class `label`; of `all`: a row a class. Raises `ZooError`."""
        url = f"{self.url}/predictions/{GENERATOR}/{quote(version, safe='')}"
        wish = {"class": label, "count": count, "seed": seed, "format": "grid"}
        content = json.dumps(wish).encode()
        with _understood(url):
            return base64.b64decode(self._call("POST", url, "inference", content, JSON).json()["image"])

    def _call(
        self, method: str, url: str, kind: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask until there is an answer other than "try again", `tries` times at most."""
        trouble, code, stale = "", None, ""
        for attempt in range(self._tries):
            if attempt:
                time.sleep(min(LONGEST_PAUSE, self._pause * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25))
            try:
                key = self._token(kind, stale)
                bearer = {"Authorization": f"Bearer {key}"}
                answer = self._http.request(method, url, content=content, headers=(headers or {}) | bearer)
            except httpx.ConnectError:
                raise NoServer(f"no server at {self.url}; start it: make serve") from None
            except (
                httpx.TransportError
            ) as error:  # timeouts too: a worker killed while idle leaves a request unanswered
                trouble, code = f"no answer from {url} ({type(error).__name__})", None
                continue
            if answer.is_success:
                return answer
            trouble, code = _message(answer, len(content)), answer.status_code
            if _body(answer).get("type") == STALE and not stale:
                stale = key
            elif code not in AGAIN:
                break
        raise ZooError(trouble, code)

    def _token(self, kind: str, stale: str) -> str:
        """The token in hand; if it is the `stale` one, that of the key file; if that is no other, a new one."""
        try:
            with self._renewal:
                if self._tokens.get(kind, stale) == stale:
                    self._tokens[kind] = token(self._key_file, self.management, kind, False, self._http)
                if self._tokens[kind] == stale:
                    self._tokens[kind] = token(self._key_file, self.management, kind, True, self._http)
                return self._tokens[kind]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoServer(f"no token in {self._key_file} ({error}); start the server: make serve") from None
        except httpx.HTTPStatusError as error:
            raise NoServer(f"{self._key_file} is another server's: {_message(error.response, 0)}") from None


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """Raise `ZooError` where an answer from `url` turns out to be of another shape than the zoo's."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ZooError(f"what {url} answers is not the zoo's; is another server on that port? ({said:.200})") from None


def _answer(said: Any) -> Answer:
    """What was answered, if it is of the zoo's shape. Raises `ValueError`, `TypeError` or `LookupError` if not."""
    chances = {name: float(said["probabilities"][name]) for name in CLASSES}
    if said["label"] not in CLASSES or not all(0 <= chance <= 1 for chance in chances.values()):
        raise ValueError("no probabilities of the classes")
    entry, study, notice = (str(said[name]) for name in ("entry", "study", "notice"))
    return Answer(label=said["label"], probabilities=chances, entry=entry, study=study, notice=notice)


def _content(image: bytes | Path) -> bytes:
    """The bytes of a picture's file. Raises `ZooError` where it cannot be read."""
    try:
        return image.read_bytes() if isinstance(image, Path) else image
    except OSError as error:
        raise ZooError(f"{error.filename}: {error.strerror}") from None


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(answer: httpx.Response, sent: int) -> str:
    """What a refusal says; TorchServe itself refuses a request that is too long without a word."""
    said = _body(answer).get("message")
    if said:
        return str(said)
    if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return f"{sent:,} bytes are more than the server takes (max_request_size in config.properties)"
    return f"HTTP status {answer.status_code} {answer.reason_phrase}".strip()
