"""A runtime that is asked by REST: over the network, or in the same process."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from httpx_retries import Retry, RetryTransport

from gateway.backend import Question, Reply, Unavailable
from zoo.serving.connection import INVALID_TOKEN, KEY_FILE, read_token
from zoo.serving.http import NoServerError, json_object
from zoo.serving.runtime import LOOPBACK

SECONDS = 65.0
"""The time for one answer: a little more than a runtime takes (responseTimeout of an archive)."""
TRIES = 3
PASSING = frozenset({500, 502})
"""A worker that died, and is started again. A full queue (503) is the client's to know."""


class RestBackend:
    """A runtime with TorchServe's calls (`gateway.backend.Backend`).

    `transport` replaces the network: in tests, and for a runtime in the same process.
    """

    def __init__(
        self, folder: Path, port: int, transport: httpx.AsyncBaseTransport | None = None, pause: float = 0.2
    ) -> None:
        """`folder` holds the runtime's tokens; `port` is that of inference, and management is on the next one."""
        retry = Retry(
            total=TRIES - 1,
            allowed_methods=("GET", "POST"),  # an answer depends on the request alone, so asking twice is harmless
            status_forcelist=PASSING,
            # Not where nobody listens, nor where the time is over: the client gets its error at once.
            retry_on_exceptions=(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError),
            backoff_factor=pause,
        )
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=100)  # `Turns` bounds them
        network = transport or httpx.AsyncHTTPTransport(limits=unlimited, trust_env=False)
        self._client = httpx.AsyncClient(
            transport=RetryTransport(network, retry), timeout=httpx.Timeout(SECONDS, connect=5), trust_env=False
        )
        self._inference, self._management = (f"http://{LOOPBACK}:{number}" for number in (port, port + 1))
        self._auth, self._management_auth = (
            _TokenAuth(self._client, folder / KEY_FILE, f"{self._management}/token", kind)
            for kind in ("inference", "management")
        )

    async def answer(self, question: Question) -> Reply:
        """The runtime's answer, which may be an error. Raises `Unavailable`."""
        url = f"{self._inference}/{question.path}"
        headers = {"Content-Type": question.content_type, "Accept": question.accept or "application/json"}
        response = await self._call(self._auth, "POST", url, content=question.body, headers=headers)
        return Reply(response.status_code, response.headers.get("Content-Type", ""), response.content)

    async def versions(self, model: str) -> list[str]:
        """The names of the served versions of a model, sorted; none where there is no such model."""
        return sorted(str(row["modelVersion"]) for row in await self._rows(f"{model}/all"))

    async def default(self, model: str) -> str:
        """The version that answers where a call names none."""
        [row, *_] = await self._rows(model) or [{"modelVersion": ""}]
        return str(row["modelVersion"])

    async def describe(self, model: str, version: str) -> dict[str, Any]:
        """The `entry.json` of a served version, without what is null."""
        [row, *_] = await self._rows(f"{model}/{version}?customized=true") or [{}]
        return dict(row.get("customizedMetadata") or {})

    async def is_ready(self) -> bool:
        """Whether the runtime answers and is healthy."""
        try:
            return (await self._call(self._auth, "GET", f"{self._inference}/ping")).is_success
        except Unavailable:
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _rows(self, path: str) -> list[dict[str, Any]]:
        """What management says of the versions of a model; none where there is no such model."""
        response = await self._call(self._management_auth, "GET", f"{self._management}/models/{path}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        try:
            return [dict(row) for row in response.raise_for_status().json()]
        except (ValueError, TypeError, httpx.HTTPStatusError) as error:
            raise Unavailable(f"the runtime does not say what it serves ({type(error).__name__})") from None

    async def _call(self, auth: httpx.Auth, method: str, url: str, **sent: Any) -> httpx.Response:
        try:
            response = await self._client.request(method, url, auth=auth, **sent)
        except (httpx.TransportError, NoServerError) as error:
            raise Unavailable(f"the runtime does not answer ({type(error).__name__}); wait, and ask again") from None
        if _is_refused(response):
            raise Unavailable("the runtime does not take the gateway's token; wait, and ask again")
        return response


class _TokenAuth(httpx.Auth):
    """A bearer token for the calls of one `kind`, for asyncio; renewed when it has expired.

    `zoo.serving.connection.TokenAuth` does it for threads: its lock would stop the event loop.
    """

    def __init__(self, client: httpx.AsyncClient, key_file: Path, renewal: str, kind: str) -> None:
        """`renewal` is the URL at which tokens are renewed."""
        self._client, self._key_file, self._renewal, self._kind = client, key_file, renewal, kind
        self._token = ""
        self._lock = asyncio.Lock()  # two renewals at once would each make the other's new token invalid

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with the token at hand, and once more with a new one if that is not valid."""
        token = await self._valid_token("")
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == httpx.codes.BAD_REQUEST:
            await response.aread()
        if _is_refused(response):
            request.headers["Authorization"] = f"Bearer {await self._valid_token(token)}"
            yield request

    async def _valid_token(self, stale: str) -> str:
        """The token at hand; if it is the `stale` one, that of the key file; if that is stale or old, a new one."""
        async with self._lock:
            if self._token == stale:
                token, expires, api_key = read_token(self._key_file, self._kind)
                if token == stale or expires <= datetime.now(UTC):
                    headers = {"Authorization": f"Bearer {api_key}"}
                    response = await self._client.get(self._renewal, params={"type": self._kind}, headers=headers)
                    if not response.is_success:
                        raise NoServerError("the key file is another server's")
                    token = read_token(self._key_file, self._kind)[0]
                self._token = token
            return self._token


def _is_refused(response: httpx.Response) -> bool:
    """Whether the token was wrong or had expired."""
    return response.status_code == httpx.codes.BAD_REQUEST and json_object(response).get("type") == INVALID_TOKEN
