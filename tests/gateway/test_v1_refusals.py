"""The calls below /v1: what is refused, with which status and reason."""

import asyncio
import base64
import gzip
import json

import pytest
from starlette.testclient import TestClient

from gateway import ask as asking
from gateway.backend import Reply
from gateway.pictures import MOST_PICTURES
from tests.gateway.calls import LARGEST, PICTURE, Front, problem

BASE64 = base64.b64encode(PICTURE).decode()
CLASSIFY = "/v1/classify/transfer"
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "no picture"),
        (b"damaged", 422, "the image is damaged"),
        (b"{oops", 400, "not JSON"),
        (b"[" * 90_000, 400, "not JSON"),
        (b"{}", 422, "no picture"),
        (b"[]", 422, "no picture"),
        (b'{"image": "***"}', 422, "not base64"),
        (b'{"image": ""}', 422, "empty"),
        (b'{"images": "a"}', 422, "images is no list"),
        (b'{"image": "aa", "images": []}', 422, "no picture"),
        (b'{"picture": ""}', 422, "unknown key 'picture'"),
        (b'{"image": "aaaa", "class": 7}', 422, "no picture"),
        (b'{"image": "aaaa", "class": "mel"}', 422, "a class is for an explanation"),
        (json.dumps(["aaaa"] * (MOST_PICTURES + 1)).encode(), 413, "at most 64"),
        (b"x" * (LARGEST + 1), 413, "more than 100,000 bytes"),
    ],
)
def test_what_cannot_be_read(client: TestClient, content: bytes, status: int, message: str) -> None:
    problem(client.post(CLASSIFY, content=content), status, message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/explain/transfer?clas=mel", "clas: unknown in the address of this call; known there: class"),
        ("/v1/explain/transfer?class=mel&Class=mel", "Class: unknown in the address"),
        ("/v1/classify?version=transfer", "version: unknown in the address of this call; known there: none"),
        ("/v1/classify/transfer?class=mel", "class: unknown in the address of this call; known there: none"),
        ("/v1/synthesize/sagan?seed=1", "seed: unknown in the address"),
    ],
)
def test_an_unknown_parameter(front: Front, client: TestClient, path: str, message: str) -> None:
    problem(client.post(path, content=PICTURE), 422, message)
    assert not front.runtime.asked


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/classify/transfer/", "/v1/classify/.%2e", "/v1/classify/A%20B"])
def test_no_such_call(client: TestClient, path: str) -> None:
    problem(client.post(path, content=PICTURE), 404)


def test_another_method(client: TestClient) -> None:
    answer = client.get(CLASSIFY)
    problem(answer, 405, "POST")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_another_encoding(client: TestClient, encoding: str) -> None:
    answer = client.post(CLASSIFY, content=PICTURE, headers={"Content-Encoding": encoding})
    problem(answer, 415, "packed with gzip")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (gzip.compress(bytes(10 * LARGEST)), 413),  # a bomb
        (gzip.compress(gzip.compress(bytes(10 * LARGEST))), 200),  # a bomb within: what is in it is not looked at
        (gzip.compress(PICTURE)[:-4], 400),
        (b"", 400),
        (PICTURE, 400),
        (gzip.compress(PICTURE) + b"more", 400),
        (gzip.compress(PICTURE[:5]) + gzip.compress(PICTURE[5:]), 200),
    ],
    # gzip notes the second: names from the content would differ between the processes of pytest-xdist
    ids=["bomb", "bomb within", "cut short", "empty", "not packed", "more behind", "two members"],
)
def test_gzip(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post(CLASSIFY, content=content, headers=GZIP)
    assert answer.status_code == status, answer.text


def test_a_bomb_in_a_form_or_in_json(client: TestClient) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n' + bytes(10 * LARGEST)
    headers = GZIP | {"Content-Type": "multipart/form-data; boundary=b"}
    problem(client.post(CLASSIFY, content=gzip.compress(form), headers=headers), 413)
    problem(client.post(CLASSIFY, content=gzip.compress(b"[" + b" " * 10 * LARGEST), headers=GZIP), 413)


FORM = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        (b"--b--\r\n", 422, "no picture"),
        (FORM % (b"image", b'; filename="a"', PICTURE), 400, "cut short"),
        (FORM % (b"image", b"", b"mole.jpg") + b"--b--\r\n", 422, "unknown field 'image'"),
        (FORM % (b"image", b'; filename="a"', b"") + b"--b--\r\n", 422, "no picture"),
        (b"nonsense", 400, "form cannot be read"),
        (FORM % (b"a", b'; filename="a"', PICTURE) * (MOST_PICTURES + 1) + b"--b--\r\n", 413, "at most 64"),
        (FORM % (b"class", b"", b"mel") * 2 + b"--b--\r\n", 400, "Too many fields"),
        (FORM % (b"class", b"", b"m" * 500) + b"--b--\r\n", 400, "maximum size"),
    ],
)
def test_a_damaged_form(client: TestClient, form: bytes, status: int, message: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(client.post(CLASSIFY, content=form, headers=headers), status, message)


def test_a_form_without_a_boundary(client: TestClient) -> None:
    problem(client.post(CLASSIFY, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400, "boundary")


def test_a_form_in_letters_that_are_none(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=undefined"}
    form = FORM % (b"image", b'; filename="a"', PICTURE) + b"--b--\r\n"
    problem(client.post(CLASSIFY, content=form, headers=headers), 400, "the form cannot be read")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"message": "why"}', 422),
        (404, b'{"message": "why"}', 404),
        (406, b'{"message": "why"}', 406),
        (413, b"", 413),
        (500, b'{"message": "Worker died."}', 503),
        (501, b'{"message": "cannot explain"}', 501),
        (503, b"oops", 503),
        (507, b"[]", 503),
    ],
)
def test_refusals_of_the_runtime(front: Front, client: TestClient, status: int, body: bytes, expected: int) -> None:
    front.runtime.reply = Reply(status, "application/json", body)
    answer = client.post(CLASSIFY, content=PICTURE)
    problem(answer, expected)
    assert ("Retry-After" in answer.headers) == (expected == 503)


def test_an_error_of_ours_says_nothing(front: Front, client: TestClient) -> None:
    body = problem(client.post(CLASSIFY, content=b"crash"), 500, "its log says why")
    assert "secret" not in json.dumps(body)


def test_a_slow_runtime(front: Front, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.05)
    front.runtime.go = asyncio.Event()
    problem(client.post(CLASSIFY, content=PICTURE), 503, "no answer in 0.05 seconds")


def test_a_full_queue(front: Front, client: TestClient) -> None:
    front.gateway.turns.at_once, front.gateway.turns.waiting = 1, 1

    class Slow:
        async def wait(self) -> None:
            await asyncio.sleep(0.05)

    front.runtime.go = Slow()  # type: ignore[assignment]
    rows = client.post(CLASSIFY, json=[BASE64] * 4).json()["answers"]
    assert sorted(row["status"] for row in rows) == [200, 200, 503, 503]
    assert "1 requests wait already" in json.dumps(rows)
    assert client.post(CLASSIFY, content=PICTURE).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        CLASSIFY,
        "/v1/classify",
        "/v1/explain/baseline",
        "/v1/synthesize/sagan",
        "/v1/feedback",
        "/v2/models/baseline/infer",
    ],
)
def test_no_place_inside(front: Front, client: TestClient, path: str) -> None:
    front.gateway.bodies.at_once = 0
    answer = client.post(path, content=PICTURE)
    problem(answer, 503, "0 are answered now; wait, and ask again")
    assert answer.headers["Retry-After"] == "1"
    assert client.get("/v1/models").status_code == 200
