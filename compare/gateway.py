"""The gateway as a server, for the client: its paths, and an API key instead of tokens."""

from typing import Any
from urllib.parse import quote

import httpx

from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.serving.http import HttpClient, ServerError, expect_zoo_answer
from zoo.serving.limits import limits
from zoo.serving.runtime import Version

CALLS = {
    ("predictions", CLASSIFIER.model): "classify",
    ("explanations", CLASSIFIER.model): "explain",
    ("predictions", GENERATOR.model): "synthesize",
}
"""The gateway's names, by the runtimes' names of a call and a model."""


class KeyAuth(httpx.Auth):
    """An API key."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Any:
        """Send the key with the request."""
        request.headers["Authorization"] = self._header
        yield request


class GatewayServer:
    """A gateway (`zoo.serving.runtime.Server`), by its URL: this machine's, or another's."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` replaces the network in tests."""
        self.url = url.rstrip("/")
        self.port = httpx.URL(self.url).port or (443 if self.url.startswith("https:") else 80)
        self.auth = KeyAuth(key)
        self._http = HttpClient(self.auth, transport=transport)

    @property
    def max_request_bytes(self) -> int:
        """The default of `make serve`: a gateway does not tell its own."""
        return limits().max_request_bytes

    def call_url(self, call: str, model: str, version: str) -> str:
        """Where a version of a model is asked for a prediction or an explanation."""
        return f"{self.url}/v1/{CALLS[call, model]}/{quote(version, safe='')}"

    def versions(self, model: str) -> list[str]:
        """The names of the served versions of `model`, sorted."""
        return [version.name for version in self.status() if version.model == model]

    def status(self) -> list[Version]:
        """Every served version, sorted; a gateway does not tell how many workers one has."""
        return sorted(Version(model, name, True, 0) for model, name, _ in self._models())

    def describe(self, model: str, version: str) -> dict[str, Any]:
        """The `entry.json` of a version, perhaps without what is null."""
        with expect_zoo_answer(self.url):
            return dict(self._http.call("GET", f"{self.url}/v1/models/{quote(version, safe='')}").json())

    def default(self, model: str) -> str:
        """The version that answers where a call names none."""
        for served, version, is_default in self._models():
            if served == model and is_default:
                return version
        raise ServerError(f"{self.url} serves no {model}")

    def set_default(self, model: str, version: str) -> None:
        """Not by a key: raises `ServerError`."""
        raise ServerError("a gateway does not change the default version; on the server's machine: make promote")

    def archives(self) -> dict[str, str]:
        """Nothing: a gateway does not tell."""
        return {}

    def renew_credentials(self) -> None:
        """Nothing: a key lasts."""

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _models(self) -> list[tuple[str, str, bool]]:
        """Model and name of each version, and whether it is the default one."""
        with expect_zoo_answer(self.url):
            rows = self._http.call("GET", f"{self.url}/v1/models").json()
            return [(str(row["model"]), str(row["name"]), bool(row["default"])) for row in rows]
