"""The calls below /v1: every way to send a picture, and several of them."""

import base64
import gzip
import json
import zipfile
import zlib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import LARGEST, PICTURE, Front, problem
from zoo.serving.request import parse
from zoo.serving.rest import forms

BASE64 = base64.b64encode(PICTURE).decode()
CLASSIFY = "/v1/classify/transfer"
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "image/jpeg"},
        {"Content-Type": "application/x-www-form-urlencoded"},  # curl --data-binary @mole.jpg
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json"},
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_raw_body(front: Front, client: TestClient, headers: dict[str, str], packed: bool) -> None:
    content = gzip.compress(PICTURE) if packed else PICTURE
    answer = client.post(CLASSIFY, content=content, headers=headers | (GZIP if packed else {}))
    assert answer.status_code == 200, answer.text
    assert answer.json()["entry"] == "transfer"
    [asked] = front.runtime.asked
    assert (asked.body, asked.version, asked.explain) == (PICTURE, "transfer", False)


def test_without_a_version_the_default_one_answers(front: Front, client: TestClient) -> None:
    assert client.post("/v1/classify", content=PICTURE).json()["entry"] == "baseline"
    assert front.runtime.asked[0].version is None


@pytest.mark.parametrize(
    "body", [{"image": BASE64}, {"image": f"data:image/png;base64,{BASE64}"}, {"image": BASE64[:4] + "\n" + BASE64[4:]}]
)
@pytest.mark.parametrize("packed", [False, True])
def test_json(front: Front, client: TestClient, body: dict[str, str], packed: bool) -> None:
    content = json.dumps(body).encode()
    sent, headers = (zlib.compress(content), {"Content-Encoding": "deflate"}) if packed else (content, {})
    answer = client.post(CLASSIFY, content=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    assert front.runtime.asked[0].body == PICTURE


@pytest.mark.parametrize("field", ["image", "data", "größe"])
def test_a_form(front: Front, client: TestClient, field: str) -> None:
    answer = client.post(CLASSIFY, files={field: ("mole.jpg", PICTURE, "image/jpeg")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["entry"] == "transfer"
    assert front.runtime.asked[0].body == PICTURE


def test_a_large_file_of_a_form_stays_in_memory(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    monkeypatch.setattr("tempfile._TemporaryFileWrapper", fail)
    assert client.post(CLASSIFY, files={"image": ("a.jpg", b"x" * (LARGEST - 1000))}).status_code == 200


def test_several_files_with_a_bad_one(client: TestClient) -> None:
    files = [("image", ("a.jpg", PICTURE)), ("image", ("b.jpg", b"damaged")), ("other", ("c.jpg", PICTURE))]
    answer = client.post(CLASSIFY, files=files)
    assert answer.status_code == 200
    rows = answer.json()["answers"]
    assert [(row["index"], row["name"], row["status"]) for row in rows] == [
        (0, "a.jpg", 200), (1, "b.jpg", 422), (2, "c.jpg", 200)
    ]  # fmt: skip
    assert rows[0]["answer"]["label"] == "nv"
    assert rows[1]["error"]["detail"] == "the image is damaged"
    assert "answer" not in rows[1]


@pytest.mark.parametrize(
    "body",
    [
        {"images": [BASE64, "***", 7, ""]},
        [BASE64, "***", {"image": 7}, ""],
        {"images": [{"image": BASE64}, {"image": "***"}, None, {"image": ""}]},
    ],
)
def test_several_pictures_in_json(client: TestClient, body: object) -> None:
    rows = client.post(CLASSIFY, json=body).json()["answers"]
    assert [row["status"] for row in rows] == [200, 422, 422, 422]
    assert "base64" in rows[1]["error"]["detail"]


def test_several_pictures_of_a_version_that_is_not_served_or_of_a_dead_runtime(
    front: Front, client: TestClient
) -> None:
    problem(client.post("/v1/classify/nobody", json=[BASE64, BASE64]), 404, "no entry 'nobody' is served")
    front.runtime.dead = True
    answer = client.post(CLASSIFY, json=[BASE64, BASE64])
    problem(answer, 503, "the runtime does not answer")
    assert answer.headers["Retry-After"] == "1"


def test_a_large_picture_s_class_can_be_explained(front: Front, client: TestClient) -> None:
    path = "/v1/explain/transfer?class=mel"
    assert client.post(path, content=b"x" * (LARGEST - 500)).status_code == 200
    assert len(front.runtime.asked[0].body) <= LARGEST
    problem(client.post(path, content=b"x" * LARGEST), 413, "with a class, a picture has 99,", "and not 100,000; raise")
    assert client.post("/v1/explain/transfer", content=b"x" * LARGEST).status_code == 200


def test_an_explanation(front: Front, client: TestClient) -> None:
    path = "/v1/explain/transfer"
    assert client.post(path, content=PICTURE).status_code == 200
    assert client.post(f"{path}?class=mel", content=PICTURE).status_code == 200
    assert client.post(path, json={"image": BASE64, "class": "mel"}).status_code == 200
    assert client.post(path, files={"image": PICTURE}, data={"class": "mel"}).status_code == 200
    first, *others = front.runtime.asked
    assert first.explain
    assert first.body == PICTURE
    for asked in others:
        assert asked.explain
        call = forms.parse(asked.body, {"content-type": asked.content_type}, explain=True)  # as runtimes do
        assert parse(call.fields, call.headers) == (PICTURE, "mel")
    assert client.post(path, content=json.dumps({"image": BASE64, "class": "\ud800\r\n--" * 900})).status_code == 200
    assert len(front.runtime.asked[-1].body) < len(PICTURE) + 1000
    answer = client.post(path, content=PICTURE, headers={"Accept": "image/png"})
    assert (answer.headers["Content-Type"], answer.content) == ("image/png", b"png")
    assert len(client.post(path, json=[BASE64, BASE64]).json()["answers"]) == 2


def test_synthesis(front: Front, client: TestClient) -> None:
    assert client.post("/v1/synthesize/sagan", content=b'{"class": "mel"}').status_code == 200
    assert front.runtime.asked[0].body == b'{"class": "mel"}'
    problem(client.post("/v1/synthesize/nobody", json={"class": "mel"}), 404)


def test_what_is_served(front: Front, client: TestClient, tmp_path: Path) -> None:
    rows = client.get("/v1/models").json()
    assert [(row["name"], row["default"]) for row in rows] == [("baseline", True), ("transfer", False), ("sagan", True)]
    assert client.get("/v1/models/sagan").json()["entry"] == "sagan"
    problem(client.get("/v1/models/nobody"), 404, "no entry 'nobody' is served")
    problem(client.get("/v1/models/sagan/card"), 404, "no model card")
    (tmp_path / "store").mkdir()
    with zipfile.ZipFile(tmp_path / "store" / "sagan.mar", "w") as archive:
        archive.writestr("MODEL_CARD.md", "# sagan")
    card = client.get("/v1/models/sagan/card")
    assert (card.text, card.headers["Content-Type"]) == ("# sagan", "text/markdown; charset=utf-8")
    front.runtime.dead = True
    answer = client.get("/v1/models")
    problem(answer, 503)
    assert answer.headers["Retry-After"] == "1"
