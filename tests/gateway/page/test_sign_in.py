import asyncio
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from gateway.page import PATHS, sign_in
from tests.gateway.calls import LARGEST, Front, problem

RUN = "/gradio_api/run/predict"
OWN = [re.sub(r"\{.*\}", "x", path) for path in PATHS]
NOT_NEEDED = (
    "/gradio_api/upload",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/proxy=http://localhost/",
    "/gradio_api/queue/join",
    "/gradio_api/info",
    "/config",
    "/login",
    "/monitoring",
)


def link(front: Front) -> str:
    return f"/?token={front.gateway.page_token}"


@pytest.fixture
def signed_in(front: Front) -> TestClient:
    client = front.anonymous()
    assert client.get(link(front)).status_code == 200
    return client


def test_the_link_signs_in(front: Front) -> None:
    client = front.anonymous()
    answer = client.get(link(front), follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert answer.headers["Cache-Control"] == "no-store"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", [path for path in OWN if path != "/manifest.json"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_answers_without_a_sign_in(front: Front, method: str, path: str) -> None:
    for cookie in (b"", b"lesion_zoo_8000=wrong", b"lesion_zoo_8000=\xe4", b"lesion_zoo_8000="):
        answer = front.anonymous().request(method, path, headers={b"Cookie": cookie})
        if path == "/":
            assert answer.status_code == 401
            assert "make serve" in answer.text
        else:
            problem(answer, 401, "make serve")


@pytest.mark.parametrize("token", ["", "wrong", "%C3%A4"])
def test_a_wrong_token(front: Front, token: str) -> None:
    answer = front.anonymous().get(f"/?token={token}")
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def test_an_api_key_is_no_sign_in(client: TestClient) -> None:
    problem(client.post(RUN, json={}), 401)


def test_a_sign_in_is_no_api_key(signed_in: TestClient) -> None:
    problem(signed_in.get("/v1/models"), 401)


def test_a_link_is_void_after_a_new_start(front: Front, signed_in: TestClient) -> None:
    old = link(front)
    again = Front(front.gateway.settings.folder)
    assert again.anonymous().get(old).status_code == 401
    assert again.anonymous().get(link(again)).status_code == 200


def test_the_token_is_the_owners_to_read(tmp_path: Path) -> None:
    for token in ("first", "second"):
        sign_in.write_token(tmp_path, token)
        [file] = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert sign_in.link(tmp_path, 8000) == f"http://127.0.0.1:8000/?token={token}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver:9000"},
        {"Origin": "null"},
    ],
)
def test_other_pages_cannot_use_the_cookie(signed_in: TestClient, headers: dict[str, str]) -> None:
    answer = problem(signed_in.post(RUN, json={}, headers=headers), 403, "/v1")
    assert answer
    assert signed_in.get("/", headers=headers).status_code == 200  # a link to the page


def test_the_page_can(signed_in: TestClient) -> None:
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver:8000"}):
        assert signed_in.get("/theme.css", headers=headers).status_code == 200


def test_how_much_it_takes(signed_in: TestClient) -> None:
    problem(signed_in.post(RUN, content=b"x" * (2 * LARGEST + sign_in.AROUND)), 413, "MAX_REQUEST_MB")
    problem(signed_in.post(RUN, content=iter([b"{}"])), 411)


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("POST", "/manifest.json"), ("GET", "/manifest.json")])
def test_the_body_of_who_has_not_signed_in_is_not_read(front: Front, method: str, path: str) -> None:
    taken = []

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            taken.append(LARGEST)
            yield b"x" * LARGEST

    async def ask() -> int:
        body, statuses = parts(), list[int]()

        async def receive() -> Message:
            return {"type": "http.request", "body": next(body), "more_body": True}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": [], "scheme": "http", "server": ("testserver", 80), "http_version": "1.1", "root_path": ""}
        await front.app(scope, receive, send)
        return statuses[0]

    assert asyncio.run(ask()) == (200 if (method, path) == ("GET", "/manifest.json") else 401)
    assert len(taken) <= 1


def test_the_manifest_needs_no_page(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in.SignIn, "_page", None)
    assert front.anonymous().get("/manifest.json").json()["name"] == "Lesion Zoo"


@pytest.mark.parametrize("path", NOT_NEEDED)
def test_what_gradio_has_beside(signed_in: TestClient, path: str) -> None:
    for method in ("GET", "POST"):
        problem(signed_in.request(method, path), 404)


def test_the_page_is_no_call_of_the_api(client: TestClient) -> None:
    assert not [path for path in client.get("/openapi.json").json()["paths"] if "gradio" in path or path == "/"]
