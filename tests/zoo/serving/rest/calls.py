"""Versions without networks, and calls to them without a network."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from starlette.types import Message

from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.serving.local.threads import Threads
from zoo.serving.local.workers import Workers
from zoo.serving.rest.app import App
from zoo.serving.rest.tokens import Tokens
from zoo.serving.rest.versions import Version, Versions
from zoo.serving.service import Answer, Call

PORT = 8080
BASELINE = f"/predictions/{CLASSIFIER.model}/baseline"
TRANSFER = f"/predictions/{CLASSIFIER.model}/transfer"
SAGAN = f"/predictions/{GENERATOR.model}/sagan"


LARGEST = 10_000_000
"""Bytes of a request."""


class Echo:
    """Answers with what it was asked, after it was let go."""

    def __init__(self, name: str) -> None:
        self.entry: dict[str, Any] = {"entry": name, "scores": {"test": None, "valid": [1, None]}, "thesis": None}
        self.go = threading.Event()
        self.go.set()
        self.asked: list[Call] = []

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        self.asked += calls
        assert self.go.wait(10)
        if any(call.fields.get("body") == b"fail" for call in calls):
            raise RuntimeError("secret")
        return [
            Answer(
                200,
                {
                    "entry": self.entry["entry"],
                    "explain": call.explain,
                    "fields": {name: repr(value) for name, value in call.fields.items()},
                    "headers": dict(call.headers),
                },
            )
            for call in calls
        ]


class Server:
    """An app with two classifiers and a generator, one thread for each model."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "key_file.json"
        self.echoes = {name: Echo(name) for name in ("transfer", "baseline", "sagan")}
        models = {name: GENERATOR.model if name == "sagan" else CLASSIFIER.model for name in self.echoes}
        workers = {model: Workers(1) for model in models.values()}
        versions = [
            Version(models[name], name, f"{name}.mar", Threads(echo, workers[models[name]], aside=Workers(1)))
            for name, echo in self.echoes.items()
        ]
        self.tokens = Tokens(self.key_file, timedelta(minutes=60))
        self.app = App(Versions(versions), self.tokens, PORT, largest=LARGEST)

    def key(self, kind: str) -> str:
        return str(json.loads(self.key_file.read_text())[kind]["key"])

    def client(self, kind: str | None = "inference", offset: int = 0) -> TestClient:
        """A client of a port, with the token of a kind or none."""
        headers = {} if kind is None else {"Authorization": f"Bearer {self.key(kind)}"}
        url = f"http://testserver:{PORT + offset}"
        return TestClient(self.app, url, headers=headers, raise_server_exceptions=False)


class Wire:
    """One request to an app, on a connection that the test holds in its hands."""

    def __init__(self, server: Server, path: str = BASELINE, headers: dict[str, str] | None = None) -> None:
        sent = {"authorization": f"Bearer {server.key('inference')}"} | (headers or {})
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("testserver", PORT),
        }
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.received = 0
        """How many messages the app has asked for."""
        self.outgoing: list[Message] = []
        self.task = asyncio.ensure_future(server.app(scope, self._receive, self._send))

    def send(self, body: bytes, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def answer(self) -> tuple[int, Any]:
        """Status and body."""
        await asyncio.wait_for(self.task, 10)
        return self.outgoing[0]["status"], json.loads(self.outgoing[1]["body"])

    async def _receive(self) -> Message:
        self.received += 1
        return await self.incoming.get()

    async def _send(self, message: Message) -> None:
        self.outgoing.append(message)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; ten seconds at most."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")
