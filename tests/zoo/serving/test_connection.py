"""TorchServe for clients: tokens are renewed once and in time, and management calls are read."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scripted_server import ANSWER, INVALID_TOKEN, ScriptedServer, answer_of
from zoo.serving.connection import RestServer
from zoo.serving.http import NoServerError, ServerError
from zoo.serving.process import connect
from zoo.serving.runtime import Version

URL = "http://127.0.0.1:8080/predictions/lesion_classifier/gan_2"


def invalid_token() -> httpx.Response:
    return httpx.Response(400, json=INVALID_TOKEN)


def tokens(server: ScriptedServer) -> list[str]:
    """The token of each request."""
    return [request.headers["Authorization"].removeprefix("Bearer ") for request in server.requests]


# ---- tokens


def test_an_expired_token_is_renewed(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, answer_of())
    server.write_token("first", "2001-01-01T00:00:00Z")
    server.http().call("POST", URL, b"x")
    assert server.renewals == 1
    assert tokens(server) == ["renewed 1"]


def test_a_token_that_expires_between_calls_is_renewed(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, answer_of(), invalid_token(), answer_of())
    http = server.http()
    for _ in range(2):
        assert http.call("POST", URL, b"x").json() == ANSWER
    assert tokens(server) == ["first", "first", "renewed 1"]


@pytest.mark.parametrize(("left", "renewed"), [(-1, True), (9, True), (11, False)])
@pytest.mark.parametrize("known", [False, True])
def test_a_token_with_less_than_a_sixth_of_its_life_left_is_renewed_early(
    tmp_path: Path, left: int, renewed: bool, known: bool
) -> None:
    server = ScriptedServer(tmp_path, *(httpx.Response(200, json=[]) for _ in range(6)))
    minutes = 1200 if known else 60  # the default
    expires = datetime.now(UTC) + timedelta(minutes=left * minutes / 60)
    server.write_token("first", expires.isoformat())
    state = {"token_minutes": minutes} if known else None
    connection = RestServer(tmp_path, 8080, state, transport=httpx.MockTransport(server))
    connection.renew_credentials()
    assert server.renewals == renewed
    connection.renew_credentials()
    assert server.renewals == renewed, "no more than once"
    assert connection.max_request_bytes == 10_000_000


def test_what_a_server_was_started_with_is_known_by_its_state(tmp_path: Path) -> None:
    state = {"port": 8080, "archives": {"a.mar": "0"}, "max_request_bytes": 7}
    for port, size in ((None, 7), (8080, 7), (9090, 10_000_000)):
        server = connect(state, tmp_path, port)
        assert (server.port, server.max_request_bytes) == (port or 8080, size)
        assert server.archives() == ({} if size > 7 else {"a.mar": "0"})


def test_many_threads_renew_a_token_once(tmp_path: Path) -> None:
    class Strict(ScriptedServer):
        """Takes the latest token only; the first has expired, though the key file does not say so."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            time.sleep(0.005)
            if request.url.path == "/token":
                return super().__call__(request)
            is_new = request.headers["Authorization"] == f"Bearer renewed {self.renewals}"
            return answer_of() if is_new else invalid_token()

    server = Strict(tmp_path)
    http = server.http()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.call("POST", URL, b"x").json(), range(16)))
    assert answers == [ANSWER] * 16
    assert server.renewals == 1


def test_the_token_of_a_server_started_again_is_read_again(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, answer_of(), invalid_token(), answer_of())
    http = server.http()
    http.call("POST", URL, b"x")
    server.write_token("second", "2999-01-01T00:00:00Z")
    http.call("POST", URL, b"x")
    assert server.renewals == 0
    assert tokens(server)[-1] == "second"


def test_a_token_that_stays_wrong_is_an_error(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, *(invalid_token() for _ in range(4)))
    with pytest.raises(ServerError, match="Token Authorization failed"):
        server.http().call("POST", URL, b"x")
    assert len(server.requests) == 2


def test_no_key_file(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path)
    server.key_file.unlink()
    with pytest.raises(NoServerError, match=r"no token in .*key_file\.json"):
        server.connection().versions("lesion_classifier")


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "[" * 9999, "{}", '{"inference": 1}', '{"inference": {"key": 1}}']
)
def test_a_damaged_key_file_is_an_error(tmp_path: Path, content: str) -> None:
    server = ScriptedServer(tmp_path)
    server.key_file.write_text(content)
    with pytest.raises(NoServerError, match=r"no token in .*key_file\.json .*; start the server"):
        server.http().call("POST", URL, b"x")


def test_the_key_file_of_another_server_is_an_error(tmp_path: Path) -> None:
    class Other(ScriptedServer):
        """Does not know the key that renews tokens."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            return invalid_token()

    with pytest.raises(NoServerError, match=r"key_file\.json is another server's: Token Authorization failed"):
        Other(tmp_path).http().call("POST", URL, b"x")


# ---- management


def test_versions_are_sorted_and_none_where_there_is_no_model(tmp_path: Path) -> None:
    rows = [{"modelVersion": "transfer"}, {"modelVersion": "baseline"}]
    server = ScriptedServer(tmp_path, httpx.Response(200, json=rows), httpx.Response(404, json={"message": "no"}))
    connection = server.connection()
    assert connection.versions("lesion_classifier") == ["baseline", "transfer"]
    assert connection.versions("lesion_generator") == []
    assert [str(request.url) for request in server.requests] == [
        "http://127.0.0.1:8081/models/lesion_classifier/all",
        "http://127.0.0.1:8081/models/lesion_generator/all",
    ]


def test_status_counts_the_workers_of_every_model(tmp_path: Path) -> None:
    def row(model: str, version: str, *workers: str) -> dict[str, Any]:
        return {"modelName": model, "modelVersion": version, "workers": [{"status": worker} for worker in workers]}

    classifiers = [row("lesion_classifier", "transfer"), row("lesion_classifier", "baseline", "UNLOADING", "READY")]
    generators = [row("lesion_generator", "sagan", "LOADING")]
    server = ScriptedServer(tmp_path, *(httpx.Response(200, json=rows) for rows in (classifiers, generators)))
    assert server.connection().status() == [
        Version("lesion_classifier", "baseline", True, 2),
        Version("lesion_classifier", "transfer", False, 0),
        Version("lesion_generator", "sagan", False, 1),
    ]


def test_a_version_is_described_and_made_the_default(tmp_path: Path) -> None:
    described = httpx.Response(200, json=[{"customizedMetadata": {"entry": "gan 2"}}])
    default = httpx.Response(200, json=[{"modelVersion": "gan 2"}])
    server = ScriptedServer(tmp_path, described, default, httpx.Response(200, json={"status": "ok"}))
    connection = server.connection()
    assert connection.describe("lesion_classifier", "gan 2/x") == {"entry": "gan 2"}
    assert connection.default("lesion_classifier") == "gan 2"
    connection.set_default("lesion_classifier", "gan 2/x")
    assert [(request.method, request.url.raw_path) for request in server.requests] == [
        ("GET", b"/models/lesion_classifier/gan%202%2Fx?customized=true"),
        ("GET", b"/models/lesion_classifier"),
        ("PUT", b"/models/lesion_classifier/gan%202%2Fx/set-default"),
    ]


CALLS: list[Callable[[RestServer], object]] = [
    lambda connection: connection.versions("lesion_classifier"),
    lambda connection: connection.status(),
    lambda connection: connection.describe("lesion_classifier", "gan_2"),
    lambda connection: connection.default("lesion_classifier"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("content", [b"<html>It works!</html>", b'{"a": 1}', b"[1]", b"7", b"[" * 100_000])
def test_another_server_on_the_port_is_an_error(
    tmp_path: Path, call: Callable[[RestServer], object], content: bytes
) -> None:
    server = ScriptedServer(tmp_path, httpx.Response(200, content=content), httpx.Response(200, content=content))
    with pytest.raises(ServerError, match="is not the zoo's; is another server on that port"):
        call(server.connection())
