"""HTTP calls to a server of ours: tried again where that may help, with errors for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from httpx_retries import Retry, RetryTransport

from lesions.errors import UserError
from zoo.serving.limits import how_to_raise

TEMPORARY = frozenset({500, 502, 503, 504, 507})
"""Statuses that may pass: a full queue, or a worker that died and is started again."""

TRY_AGAIN = (
    httpx.TimeoutException,  # a worker killed while idle leaves a request unanswered
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
)
MAX_PAUSE = 5.0


class ServerError(UserError):
    """A server that cannot do what was asked; `code` is the HTTP status if there was one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class NoServerError(ServerError):
    """Nobody listens, or the credentials are those of a server that is gone."""


class HttpClient:
    """Calls with credentials over connections that are kept; safe to share between threads.

    A call waits `seconds` at most for an answer, and is made up to `tries` times, with pauses that double from `pause`
    seconds. `transport` replaces the network in tests.
    """

    def __init__(
        self,
        auth: httpx.Auth,
        *,
        seconds: float = 30,
        tries: int = 6,
        pause: float = 0.2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=None)  # as many as there are threads
        retry = Retry(
            total=tries - 1,
            allowed_methods=("GET", "POST", "PUT"),  # no call of ours changes anything by being made twice
            status_forcelist=TEMPORARY,
            retry_on_exceptions=TRY_AGAIN,
            backoff_factor=pause,
            backoff_jitter=0.5,
            max_backoff_wait=MAX_PAUSE,
        )
        network = transport or httpx.HTTPTransport(limits=unlimited, trust_env=False)  # loopback: through no proxy
        self._client = httpx.Client(
            auth=auth, timeout=seconds, trust_env=False, transport=RetryTransport(network, retry)
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def call(
        self, method: str, url: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """The answer to one call, a success. Raises `ServerError` with the server's own message."""
        try:
            response = self._client.request(method, url, content=content, headers=headers)
        except httpx.ConnectError:
            raise NoServerError(
                f"no server at {httpx.URL(url).copy_with(raw_path=b'')}; start it: make serve"
            ) from None
        except httpx.TransportError as error:
            raise ServerError(f"no answer from {url} ({type(error).__name__})") from None
        if not response.is_success:
            raise ServerError(error_message(response, len(content)), response.status_code)
        return response


@contextmanager
def expect_zoo_answer(url: str) -> Iterator[None]:
    """Raise `ServerError` where the block finds that an answer from `url` has another shape than the zoo's."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ServerError(
            f"what {url} answers is not the zoo's; is another server on that port? ({reason:.200})"
        ) from None


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in a response; empty if it holds none."""
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def error_message(response: httpx.Response, sent: int = 0) -> str:
    """What a refusal says of itself; `sent` is the length of the request's body in bytes."""
    body = json_object(response)
    if message := body.get("message") or body.get("detail"):  # the gateway's errors are problem details (RFC 9457)
        return str(message)
    if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return f"{sent:,} bytes are more than the server takes; {how_to_raise(sent)}"
    return f"HTTP status {response.status_code} {response.reason_phrase}".strip()
