"""A gateway before a runtime that is made up, and calls to it without a network."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from gateway.app import build
from gateway.backend import Question, Reply, Unavailable
from gateway.context import Gateway
from gateway.keys import SCOPES, Keys
from gateway.settings import Settings
from lesions.labels import CLASSES, NOTICE
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR

PICTURE = b"\xff\xd8 a picture"
ORIGIN = "https://example.org"
LARGEST = 100_000
SERVED = {CLASSIFIER.model: ["baseline", "transfer"], GENERATOR.model: ["sagan"]}
ORIGINAL = {"study": "tests", "notice": NOTICE}


class Runtime:
    """Answers every picture but those that say that they are damaged (`gateway.backend.Backend`)."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.reply: Reply | None = None
        """What it answers instead of its own."""
        self.dead = False
        self.go = asyncio.Event()
        self.go.set()

    async def answer(self, question: Question) -> Reply:
        self.asked.append(question)
        model, version, body = question.model, question.version, question.body
        self._check()
        await self.go.wait()
        if self.reply:
            return self.reply
        if version not in (None, *SERVED[model]):
            return _json(404, {"message": f"Model version: {version} does not exist for model: {model}"})
        if b"damaged" in body:  # a word that no form's random boundary, a hexadecimal number, can have
            return _json(400, {"message": "the image is damaged"})
        if b"crash" in body:
            raise RuntimeError("secret")
        if question.explain and question.accept.startswith("image/png"):
            return Reply(200, "image/png", b"png")
        entry = {"entry": version or SERVED[model][0], **ORIGINAL}
        return _json(200, {"label": "nv", "probabilities": dict.fromkeys(CLASSES, 1 / 7), **entry})

    async def versions(self, model: str) -> list[str]:
        self._check()
        return SERVED[model]

    async def default(self, model: str) -> str:
        self._check()
        return SERVED[model][0]

    async def describe(self, model: str, version: str) -> dict[str, Any]:
        self._check()
        return {"entry": version, "scores": {}}

    async def is_ready(self) -> bool:
        return not self.dead

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.dead:
            raise Unavailable("the runtime does not answer (ConnectError); wait, and ask again")


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, "application/json", json.dumps(body).encode())


class Front:
    """A gateway and its parts."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        own = {
            "host": "127.0.0.1",
            "port": 8000,
            "runtime_port": 8080,
            "folder": folder / "serve",
            "archives": folder / "store",
        }
        own |= {"keys": folder / "keys" / "api_keys.json", "origins": (ORIGIN,), "max_request_bytes": LARGEST}
        settings = Settings.model_validate(own | changes)
        self.runtime, self.keys = Runtime(), Keys(settings.keys)
        self.gateway = Gateway(settings, self.runtime, self.keys)
        self.app = build(self.gateway)

    def client(self, scopes: Sequence[str] = SCOPES, rate: str = "1000/minute", name: str = "tests") -> TestClient:
        """A client with a new key."""
        return self.anonymous(self.keys.add(name, scopes, rate))

    def anonymous(self, key: str | None = None) -> TestClient:
        """A client with this key, or without one."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return TestClient(self.app, "http://testserver:8000", headers=headers, raise_server_exceptions=False)


def problem(answer: Any, status: int, *parts: str) -> dict[str, Any]:
    """The problem in an answer, which has this status and says these `parts`."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["request_id"] == answer.headers["X-Request-Id"]
    for part in parts:
        assert part in body["detail"]
    return body
