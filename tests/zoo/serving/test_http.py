"""HTTP calls: what may pass is tried again, a refusal is final, and every failure has a message for people."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.scripted_server import ANSWER, ScriptedServer, answer_of
from zoo.serving.http import NoServerError, ServerError, expect_zoo_answer

URL = "http://127.0.0.1:8080/predictions/lesion_classifier/gan_2"


@pytest.mark.parametrize(
    "failure",
    [
        lambda: httpx.Response(503, json={"code": 503, "message": "queue full"}),
        lambda: httpx.Response(500, json={"code": 500, "message": "Worker died."}),
        lambda: httpx.ReadTimeout("slow"),
        lambda: httpx.RemoteProtocolError("closed"),
    ],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, failure: Callable[[], httpx.Response | Exception]) -> None:
    server = ScriptedServer(tmp_path, failure(), failure(), answer_of())
    assert server.http().call("POST", URL, b"x").json() == ANSWER
    assert len(server.requests) == 3
    assert {request.content for request in server.requests} == {b"x"}


def test_but_not_for_ever(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, *(httpx.Response(503, json={"message": "queue full"}) for _ in range(4)))
    with pytest.raises(ServerError, match="queue full") as caught:
        server.http().call("POST", URL, b"x")
    assert caught.value.code == 503
    server = ScriptedServer(tmp_path, *(httpx.ReadTimeout("slow") for _ in range(4)))
    with pytest.raises(ServerError, match=r"no answer from .* \(ReadTimeout\)") as caught:
        server.http().call("POST", URL, b"x")
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(400, json={"code": 400, "message": "the body is empty"}), "the body is empty"),
        (httpx.Response(404, json={"code": 404, "message": "Model version: x does not exist"}), "does not exist"),
        (httpx.Response(413), "1 bytes are more than the server takes"),
        (httpx.Response(418, text="teapot"), "HTTP status 418"),
        (httpx.Response(400, json=["odd"]), "HTTP status 400"),
        (httpx.Response(400, content=b"[" * 100_000), "HTTP status 400"),
    ],
)
def test_a_refusal_is_final(tmp_path: Path, response: httpx.Response, message: str) -> None:
    server = ScriptedServer(tmp_path, response)
    with pytest.raises(ServerError, match=message) as caught:
        server.http().call("POST", URL, b"x")
    assert caught.value.code == response.status_code
    assert len(server.requests) == 1


def test_no_server(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, httpx.ConnectError("refused"))
    with pytest.raises(NoServerError, match=r"no server at .*8080; start it: make serve"):
        server.http().call("POST", URL, b"x")


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError, RecursionError])
def test_an_answer_of_another_shape_is_an_error_for_people(error: type[Exception]) -> None:
    with (
        pytest.raises(ServerError, match=rf"what {URL} answers is not the zoo's; .*\({error.__name__}: "),
        expect_zoo_answer(URL),
    ):
        raise error("x" * 10_000)
