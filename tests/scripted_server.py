"""A stand-in for TorchServe that answers from a script."""

import json
from pathlib import Path
from typing import Any

import httpx

from compare.client import Zoo
from lesions.labels import CLASSES, NOTICE
from tests.servers import connect
from zoo.serving.connection import RestServer
from zoo.serving.http import HttpClient

ANSWER = {
    "label": "mel",
    "probabilities": dict.fromkeys(CLASSES, 0.1) | {"mel": 0.4},
    "entry": "gan_2",
    "study": "tests",
    "notice": NOTICE,
}
"""A classifier's."""

INVALID_TOKEN = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed."}


def answer_of(**changes: Any) -> httpx.Response:
    """A successful response with `ANSWER`."""
    return httpx.Response(200, json=ANSWER | changes)


class ScriptedServer:
    """Gives the responses of `script` in turn, raises the exceptions in it, and renews tokens as TorchServe does."""

    def __init__(self, folder: Path, *script: httpx.Response | Exception) -> None:
        self.key_file = folder / "key_file.json"
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        """Every request but those for tokens."""
        self.renewals = 0
        self.write_token("first", "2999-01-01T00:00:00.123456789Z")

    def write_token(self, key: str, expires: str) -> None:
        own = {"key": key, "expiration time": expires}
        self.key_file.write_text(json.dumps({"inference": own, "management": own, "API": {"key": "api"}}))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            assert request.headers["Authorization"] == "Bearer api"
            assert request.url.port == 8081
            self.renewals += 1
            self.write_token(f"renewed {self.renewals}", "2999-01-01T00:00:00Z")
            return httpx.Response(200)
        # A copy: authentication changes the request's headers when it sends it again.
        self.requests.append(
            httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        )
        response = self.script.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def zoo(self, tries: int = 4) -> Zoo:
        return connect(self.key_file.parent, 8080, **self._options(tries))

    def connection(self, tries: int = 4) -> RestServer:
        return RestServer(self.key_file.parent, 8080, **self._options(tries))

    def http(self, tries: int = 4) -> HttpClient:
        return HttpClient(self.connection().auth, **self._options(tries))

    def _options(self, tries: int) -> dict[str, Any]:
        return {"tries": tries, "pause": 0.001, "transport": httpx.MockTransport(self)}
