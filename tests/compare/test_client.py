"""The client: what it sends, and that it takes no answer that is not the zoo's."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.client import Zoo
from compare.collect import collect, describe_all
from compare.gateway import GatewayServer
from lesions.labels import CLASSES
from tests.compare.study_server import StudyServer
from tests.scripted_server import ANSWER, ScriptedServer, answer_of
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.serving.http import ServerError


def test_classify(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, answer_of(), answer_of())
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    with server.zoo() as zoo:
        assert zoo.classify(b"picture", "gan_2") == ANSWER
        assert zoo.classify(tmp_path / "mole.jpg", "gan 2/x") == ANSWER
    assert [request.url.raw_path for request in server.requests] == [
        b"/predictions/lesion_classifier/gan_2",
        b"/predictions/lesion_classifier/gan%202%2Fx",
    ]
    assert {request.content for request in server.requests} == {b"picture"}
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer first"}
    # Without one, TorchServe would take the body for a form.
    assert {request.headers["Content-Type"] for request in server.requests} == {"application/octet-stream"}


def test_a_text_is_a_path_and_no_picture(tmp_path: Path) -> None:
    overlay = httpx.Response(200, json={"overlay": base64.b64encode(b"a png").decode(), "blank": False})
    server = ScriptedServer(tmp_path, answer_of(), overlay)
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    with server.zoo() as zoo:
        zoo.classify(str(tmp_path / "mole.jpg"), "gan_2")
        zoo.explain(str(tmp_path / "mole.jpg"), "gan_2")
        with pytest.raises(ServerError, match=r"^mole\.jpg: No such file or directory$"):
            zoo.classify("mole.jpg", "gan_2")
    assert {request.content for request in server.requests} == {b"picture"}


def test_explain(tmp_path: Path) -> None:
    answer = {"label": "mel", "class": "mel", "overlay": base64.b64encode(b"a png").decode(), "blank": False}
    server = ScriptedServer(tmp_path, httpx.Response(200, json=answer), httpx.Response(200, json=answer))
    with server.zoo() as zoo:
        assert zoo.explain(b"picture", "gan_2") == (b"a png", False)
        assert zoo.explain(b"picture", "gan 2", "mel&x") == (b"a png", False)
    first, second = server.requests
    assert (first.url.raw_path, first.content) == (b"/explanations/lesion_classifier/gan_2", b"picture")
    assert second.url.raw_path == b"/explanations/lesion_classifier/gan%202"
    assert second.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="class"\r\n\r\nmel&x\r\n' in second.content
    assert b"\r\n\r\npicture\r\n" in second.content


def test_versions(tmp_path: Path) -> None:
    server = ScriptedServer(
        tmp_path, httpx.Response(200, json=[{"modelVersion": "transfer"}, {"modelVersion": "baseline"}])
    )
    with server.zoo() as zoo:
        assert zoo.versions() == ["baseline", "transfer"]
    assert str(server.requests[0].url) == "http://127.0.0.1:8081/models/lesion_classifier/all"


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path).zoo() as zoo, pytest.raises(ServerError, match=r"none\.jpg: No such file"):
        zoo.classify(tmp_path / "none.jpg", "gan_2")


CALLS: list[Callable[[Zoo], object]] = [
    lambda zoo: zoo.versions(),
    lambda zoo: zoo.describe("gan_2"),
    lambda zoo: zoo.default(),
    lambda zoo: zoo.set_default("gan_2"),
    lambda zoo: zoo.classify(b"x", "gan_2"),
    lambda zoo: zoo.explain(b"x", "gan_2", "mel"),
    lambda zoo: zoo.synthesize("mel", 2, 7, "sagan"),
    lambda zoo: zoo.grid("mel", 2, 7, "sagan"),
]
KEYS = [
    "label",
    "probabilities",
    "overlay",
    "blank",
    "images",
    "image",
    "modelVersion",
    "customizedMetadata",
    "type",
    "message",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {"label": st.sampled_from([*CLASSES, "wart", None, 1])},
    optional={
        "probabilities": st.fixed_dictionaries({name: st.floats(0, 1) | VALUES for name in CLASSES}) | VALUES,
        "entry": VALUES,
        "study": VALUES,
        "notice": VALUES,
    },
)
"""What looks like an answer."""


@given(
    st.sampled_from(CALLS),
    st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 413, 500, 503, 599]),
    st.binary(max_size=50)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | NEARLY.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 100_000, b"9" * 5000, b'{"probabilities": ' * 50_000]),
)
def test_whatever_a_server_answers_the_client_returns_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, call: Callable[[Zoo], object], status: int, content: bytes
) -> None:
    class Odd(ScriptedServer):
        """Never says anything else."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            renewed = super().__call__(request) if request.url.path == "/token" else None
            return renewed or httpx.Response(status, content=content)

    with Odd(tmp_path_factory.mktemp("odd")).zoo(tries=2) as zoo:
        try:
            answer = call(zoo)
        except ServerError as error:
            assert 0 < len(str(error)) < 500
            assert "first" not in str(error)  # the token's own text
        else:
            assert 200 <= status < 300 or (status, answer) == (404, [])  # no such model: no versions
            if isinstance(answer, dict) and "probabilities" in answer:
                assert list(answer["probabilities"]) == list(CLASSES)
                assert answer["label"] in CLASSES
                assert all(0 <= chance <= 1 for chance in answer["probabilities"].values())


ODD: list[Any] = [float("nan"), 1.5, -0.1, "x", None]


@pytest.mark.parametrize(
    "change",
    [
        {"label": "wart"},
        {"label": None},
        {"entry": ...},
        {"probabilities": {}},
        {"probabilities": [0.1] * 7},
        *({"probabilities": dict.fromkeys(CLASSES, odd)} for odd in ODD),
    ],
)
def test_what_only_looks_like_an_answer_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    answer = {key: value for key, value in (ANSWER | change).items() if value is not ...}
    server = ScriptedServer(tmp_path, httpx.Response(200, content=json.dumps(answer)))
    with server.zoo() as zoo, pytest.raises(ServerError, match="is not the zoo's; is another server on that port"):
        zoo.classify(b"x", "gan_2")


def test_another_server_on_the_port_is_named(tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, httpx.Response(200, text="<html>It works!</html>"))
    with (
        server.zoo() as zoo,
        pytest.raises(ServerError, match=r"8080/pred.* is not the zoo's; is another server on that"),
    ):
        zoo.classify(b"x", "gan_2")
    server = ScriptedServer(tmp_path, httpx.Response(200, json={"images": []}))
    with server.zoo() as zoo, pytest.raises(ServerError, match="no images"):  # and not asked for ever
        zoo.synthesize("mel", 2, 7, "sagan")


SECRET = "sec-4f1c-ret"


def test_tokens_are_in_no_error_and_in_no_answer_that_is_kept(
    study_server: StudyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")  # httpx and httpcore tell what they do
    own = {"key": SECRET, "expiration time": "2999-01-01T00:00:00Z"}
    study_server.key_file.write_text(json.dumps({"inference": own, "management": own, "API": {"key": SECRET}}))
    with study_server.zoo() as zoo:
        described = describe_all(zoo)
        collect(zoo, described, study_server.labeled, tmp_path / "answers", {}, patience=5)
        study_server.trouble = lambda entry, image: httpx.Response(400, json={"message": "no"})
        with pytest.raises(ServerError, match="no") as caught:
            zoo.classify(b"x", "baseline")
    assert SECRET not in f"{caught.value!r} {zoo!r}"
    kept = [file.read_text() for file in (tmp_path / "answers").rglob("*") if file.is_file()]
    assert len(kept) >= 2
    assert not any(SECRET in text for text in (*kept, caplog.text))
    assert SECRET in study_server.key_file.read_text()


@pytest.mark.parametrize("rows", [[{}], [{"model": "lesion_classifier", "name": "x"}], [1], {"x": 1}, "text", None])
def test_another_server_in_the_place_of_a_gateway_is_named(rows: Any) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=rows))
    server = GatewayServer("http://gateway", "zoo_key", transport)
    calls = (server.status, lambda: server.versions(CLASSIFIER.model), lambda: server.default(CLASSIFIER.model))
    for call in calls:
        with pytest.raises(ServerError, match="http://gateway"):
            call()


def test_a_gateway_without_a_classifier_has_no_default() -> None:
    rows = [{"model": GENERATOR.model, "name": "sagan", "default": True}]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=rows))
    server = GatewayServer("http://gateway", "zoo_key", transport)
    assert server.default(GENERATOR.model) == "sagan"
    with pytest.raises(ServerError, match="http://gateway serves no lesion_classifier"):
        server.default(CLASSIFIER.model)
