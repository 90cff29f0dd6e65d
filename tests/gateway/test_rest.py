"""A runtime asked by REST: tokens that are renewed, calls that are made again, and what ends in `Unavailable`."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.backend import Question, Unavailable
from gateway.rest import RestBackend
from tests.scripted_server import INVALID_TOKEN, ScriptedServer

ANSWER = httpx.Response(200, json={"label": "nv"})


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """What a call of the backend returns before a server with a script, and that server."""

    def ask(call: Callable[[RestBackend], Coroutine[Any, Any, Any]], *script: httpx.Response | Exception) -> Any:
        server = ScriptedServer(tmp_path, *script)

        async def asked() -> Any:
            backend = RestBackend(tmp_path, 8080, httpx.MockTransport(server), pause=0)
            try:
                return await call(backend)
            finally:
                await backend.close()

        return asyncio.run(asked()), server

    return ask


def classify(backend: RestBackend) -> Coroutine[Any, Any, Any]:
    return backend.answer(Question("lesion_classifier", "baseline", b"picture", "image/jpeg"))


def test_an_answer(ask: Callable[..., Any]) -> None:
    reply, server = ask(classify, ANSWER)
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", b'{"label":"nv"}')
    [request] = server.requests
    assert str(request.url) == "http://127.0.0.1:8080/predictions/lesion_classifier/baseline"
    assert (request.content, request.headers["Content-Type"]) == (b"picture", "image/jpeg")
    assert request.headers["Authorization"] == "Bearer first"


def test_an_explanation_by_the_default_version(ask: Callable[..., Any]) -> None:
    _, server = ask(lambda backend: backend.answer(Question("m", None, b"", "a/b", "image/png", explain=True)), ANSWER)
    assert server.requests[0].url.path == "/explanations/m"
    assert server.requests[0].headers["Accept"] == "image/png"


def test_a_void_token_is_renewed_once_for_many_calls(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return server(request)
        void = request.headers["Authorization"] == "Bearer first"
        return httpx.Response(400, json=INVALID_TOKEN) if void else httpx.Response(200, json={})

    async def many() -> list[Any]:
        backend = RestBackend(tmp_path, 8080, httpx.MockTransport(respond))
        return await asyncio.gather(*(classify(backend) for _ in range(5)))

    assert [reply.status for reply in asyncio.run(many())] == [200] * 5
    assert server.renewals == 1


def test_a_token_that_is_never_taken(ask: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="does not take the gateway's token"):
        ask(classify, *(httpx.Response(400, json=INVALID_TOKEN) for _ in range(2)))


def test_an_expired_token_is_renewed_first(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, httpx.Response(200, json={}))
    server.write_token("old", "2001-01-01T00:00:00Z")
    reply = asyncio.run(classify(RestBackend(tmp_path, 8080, httpx.MockTransport(server))))
    assert (reply.status, server.renewals) == (200, 1)
    assert server.requests[0].headers["Authorization"] == "Bearer renewed 1"


def test_without_a_key_file(tmp_path: Path) -> None:
    backend = RestBackend(tmp_path / "nothing", 8080, httpx.MockTransport(lambda _: ANSWER))
    with pytest.raises(Unavailable, match="NoServerError"):
        asyncio.run(classify(backend))
    assert not asyncio.run(backend.is_ready())


@pytest.mark.parametrize("failure", [httpx.Response(500), httpx.Response(502), httpx.ReadError("gone")])
def test_a_call_that_may_pass_is_made_again(ask: Callable[..., Any], failure: httpx.Response | Exception) -> None:
    reply, server = ask(classify, failure, failure, httpx.Response(200, json={}))
    assert (reply.status, len(server.requests)) == (200, 3)


@pytest.mark.parametrize("status", [400, 404, 413, 503])
def test_a_refusal_is_passed_on_at_once(ask: Callable[..., Any], status: int) -> None:
    reply, server = ask(classify, httpx.Response(status, json={"message": "why"}))
    assert (reply.status, len(server.requests), json.loads(reply.body)) == (status, 1, {"message": "why"})


@pytest.mark.parametrize("error", [httpx.ConnectError("nobody"), httpx.ConnectTimeout("x"), httpx.ReadTimeout("x")])
def test_a_dead_runtime_is_told_at_once(ask: Callable[..., Any], error: Exception) -> None:
    with pytest.raises(Unavailable, match=type(error).__name__):
        ask(classify, error)


def test_what_is_served(ask: Callable[..., Any]) -> None:
    rows = [{"modelVersion": "b", "customizedMetadata": {"entry": "b"}}, {"modelVersion": "a"}]
    assert ask(lambda backend: backend.versions("m"), httpx.Response(200, json=rows))[0] == ["a", "b"]
    assert ask(lambda backend: backend.default("m"), httpx.Response(200, json=rows))[0] == "b"
    entry, server = ask(lambda backend: backend.describe("m", "b"), httpx.Response(200, json=rows))
    assert entry == {"entry": "b"}
    assert str(server.requests[0].url) == "http://127.0.0.1:8081/models/m/b?customized=true"
    assert ask(lambda backend: backend.versions("m"), httpx.Response(404))[0] == []
    for answer in (httpx.Response(400), httpx.Response(200, content=b"x"), httpx.Response(200, json=[7])):
        with pytest.raises(Unavailable, match="does not say what it serves"):
            ask(lambda backend: backend.versions("m"), answer)
