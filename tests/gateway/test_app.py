"""What is around the calls: pages of other origins, ids, the log, metrics, the description."""

import base64
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from pydantic import ValidationError
from starlette.testclient import TestClient

from gateway import log
from gateway.backend import Question, Reply
from gateway.settings import Settings, origins
from lesions.errors import UserError
from tests.gateway.calls import ORIGIN, PICTURE, Front, problem

CLASSIFY = "/v1/classify/transfer"
EXPLAIN = "/v1/explain/transfer"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
ALLOWED = "Access-Control-Allow-Origin"
SETTINGS: dict[str, Any] = {"host": "127.0.0.1", "port": 8000, "runtime_port": 8080, "folder": "serve"}
SETTINGS |= {"archives": "store", "keys": "api_keys.json", "max_request_bytes": 1000}


def test_a_preflight_needs_no_key(front: Front) -> None:
    answer = front.anonymous().options(CLASSIFY, headers=PREFLIGHT | {"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == ORIGIN
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in answer.headers  # keys are no cookies


def test_a_preflight_of_another_origin(front: Front) -> None:
    answer = front.anonymous().options(CLASSIFY, headers=PREFLIGHT | {"Origin": "https://evil.example"})
    assert answer.status_code == 400
    assert ALLOWED not in answer.headers


def test_a_preflight_where_no_origin_is_allowed(tmp_path: Path) -> None:
    front = Front(tmp_path, origins=())
    answer = front.anonymous().options(CLASSIFY, headers=PREFLIGHT | {"Origin": ORIGIN})
    assert answer.status_code == 405
    assert ALLOWED not in answer.headers
    assert ALLOWED not in front.client().post(CLASSIFY, content=PICTURE, headers={"Origin": ORIGIN}).headers


def test_every_answer_to_a_page_can_be_read_by_it(front: Front, client: TestClient) -> None:
    page = {"Origin": ORIGIN}
    small = front.client(["explain"], "1/hour", "small")
    answers = [
        client.post(CLASSIFY, content=PICTURE, headers=page),
        front.anonymous().post(CLASSIFY, content=PICTURE, headers=page),
        small.post(CLASSIFY, content=PICTURE, headers=page),
        client.post("/v1/nothing", headers=page),
        client.get(CLASSIFY, headers=page),
        client.post(CLASSIFY, content=bytes(200_000), headers=page),
        client.post(CLASSIFY, content=b"damaged", headers=page),
        small.post("/v1/explain/transfer", content=PICTURE, headers=page),
        small.post("/v1/explain/transfer", content=PICTURE, headers=page),
        client.post(CLASSIFY, content=b"crash", headers=page),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 403, 404, 405, 413, 422, 200, 429, 500]
    for answer in answers:
        assert answer.headers[ALLOWED] == ORIGIN
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert ALLOWED not in client.get("/v1/models", headers={"Origin": "https://evil.example"}).headers


@pytest.mark.parametrize("text", ["", "https://example.org http://localhost:3000", "*", "http://[::1]:8080"])
def test_origins(text: str) -> None:
    assert origins(text) == tuple(text.split())


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://Example.org", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
    ],
)
def test_what_a_browser_sends_otherwise(text: str, sent: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"CORS={text}: a browser sends {sent};")):
        origins(text)
    with pytest.raises(ValidationError, match=re.escape(f"a browser sends {sent};")):
        Settings.model_validate(SETTINGS | {"origins": [text]})
    assert origins(sent) == (sent,)


NO_ORIGINS = ["example.org", "https://example.org/", "https://a.org,https://b.org", "null", "https://:::", "http://[:]"]


@pytest.mark.parametrize("text", [*NO_ORIGINS, "http://a:65536", "http://a..b"])
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(UserError, match="CORS="):
        origins(text)
    with pytest.raises(ValidationError, match="an origin is scheme, host"):
        Settings.model_validate(SETTINGS | {"origins": [text]})


def test_a_mistyped_setting() -> None:
    assert Settings.model_validate(SETTINGS).origins == ()
    with pytest.raises(ValidationError, match="origin\n  Extra inputs"):
        Settings.model_validate(SETTINGS | {"origin": ["https://example.org"]})


@pytest.mark.parametrize(("sent", "kept"), [("mine-1.2_3", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_request_ids(client: TestClient, sent: str, kept: bool) -> None:
    for path in ("/v1/models", "/v1/nothing"):
        own = client.get(path, headers={"X-Request-Id": sent}).headers["X-Request-Id"]
        assert (own == sent) == kept
        assert len(own) in (10, 32)


def test_the_log(front: Front, client: TestClient, tmp_path: Path) -> None:
    log.configure(tmp_path)
    try:
        client.post(f"{EXPLAIN}?class=zoo_secret", content=PICTURE, headers={"X-Request-Id": "a"})
        client.post(CLASSIFY, json=["aaaa", "aaaa"], headers={"X-Request-Id": "b"})
        front.anonymous("zoo_wrong").get("/v1/models", headers={"X-Request-Id": "c"})
        client.post(CLASSIFY, content=b"crash", headers={"X-Request-Id": "d"})
    finally:
        for handler in logging.getLogger("gateway").handlers[:]:
            logging.getLogger("gateway").removeHandler(handler)
            handler.close()
    text = (tmp_path / log.FILE).read_text()
    lines = {line["request_id"]: line for line in map(json.loads, text.splitlines())}
    assert set(lines) == {"a", "b", "c", "d"}
    assert lines["a"] | {"path": EXPLAIN, "status": 200, "key": "tests", "bytes": len(PICTURE)} == lines["a"]
    assert lines["a"]["milliseconds"] > 0
    assert lines["b"]["pictures"] == 2
    assert (lines["c"]["status"], lines["c"]["key"]) == (401, None)
    assert "RuntimeError: secret" in lines["d"]["error"]
    assert "zoo_" not in text
    assert 'picture"' not in text.replace('"pictures"', "")


def test_uvicorn_s_log_of_the_same_process_has_no_line_of_the_gateway_s(
    front: Front,
    client: TestClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    access = logging.getLogger("uvicorn.access")
    answer = front.runtime.answer

    async def noting(question: Question) -> Reply:
        access.info("/v1/classify?key=zoo_secret")
        return await answer(question)

    monkeypatch.setattr(front.runtime, "answer", noting)
    before = access.filters[:]
    log.configure(tmp_path)
    try:
        with caplog.at_level(logging.INFO, "uvicorn.access"):
            assert client.post(CLASSIFY, content=PICTURE).status_code == 200
            access.info("another port's")
    finally:
        access.filters[:] = before
        for handler in log.LOGGER.handlers[:]:
            log.LOGGER.removeHandler(handler)
            handler.close()
    assert [record.message for record in caplog.records if record.name == access.name] == ["another port's"]


def test_metrics(client: TestClient) -> None:
    client.post(CLASSIFY, content=PICTURE)
    client.post(CLASSIFY, json=[base64.b64encode(b"damaged").decode(), "aaaa"])
    for name in ("one", "two"):
        client.get(f"/{name}")
    text = client.get("/metrics").text
    assert 'gateway_requests_total{route="/v1/classify/{version}",status="200"} 2.0' in text
    assert 'gateway_pictures_total{call="classify",status="200"} 2.0' in text
    assert 'gateway_pictures_total{call="classify",status="422"} 1.0' in text
    assert 'gateway_requests_total{route="",status="404"} 2.0' in text
    assert "transfer" not in text


def test_a_crash_is_counted_as_one(client: TestClient) -> None:
    client.post(CLASSIFY, content=b"crash")
    assert 'gateway_pictures_total{call="classify",status="500"} 1.0' in client.get("/metrics").text


def test_the_pages_come_from_here_alone(front: Front) -> None:
    client = front.anonymous()
    page = client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    for file in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/assets/{file}" in page.text
        assert client.get(f"/docs/assets/{file}").status_code == 200
    for path in ("../../pyproject.toml", "%2e%2e/%2e%2e/__init__.py", ""):
        assert client.get(f"/docs/assets/{path}").status_code == 404


def test_the_description(front: Front) -> None:
    described = front.anonymous().get("/openapi.json").json()
    schemathesis.openapi.from_dict(described).validate()
    for path, calls in described["paths"].items():
        for call in calls.values():
            statuses = set(call["responses"])
            assert statuses & {"200", "202"}
            assert path.startswith("/v2/health") or {"401", "403", "404", "422", "429", "503"} <= statuses
            for status, answer in call["responses"].items():
                assert status.startswith("2") or "application/problem+json" in answer["content"]


def test_health(front: Front) -> None:
    client = front.anonymous()
    assert client.get("/v2/health/ready").json() == {"ready": True}
    front.runtime.dead = True
    assert client.get("/v2/health/live").status_code == 200
    answer = client.get("/v2/health/ready")
    body = problem(answer, 503, "the runtime does not answer")
    assert body["error"] == body["detail"]
    assert answer.headers["Retry-After"] == "1"
