import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import compare.__main__ as command
from compare.client import NoServer, Zoo, ZooError
from compare.evaluate import collect, served
from lesions.labels import CLASSES, NOTICE

if TYPE_CHECKING:
    from tests.compare.conftest import Standing

ANSWER = {
    "label": "mel",
    "probabilities": dict.fromkeys(CLASSES, 0.1) | {"mel": 0.4},
    "entry": "gan_2",
    "study": "tests",
    "notice": NOTICE,
}
STALE = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed."}


class Server:
    """Answers in TorchServe's place, from a script; and renews tokens as it does."""

    def __init__(self, folder: Path, *script: httpx.Response | Exception) -> None:
        self.key_file = folder / "key_file.json"
        self.script = list(script)
        self.asked: list[httpx.Request] = []
        self.renewed = 0
        self.write("first", "2999-01-01T00:00:00.123456789Z")

    def write(self, key: str, expires: str) -> None:
        own = {"key": key, "expiration time": expires}
        self.key_file.write_text(json.dumps({"inference": own, "management": own, "API": {"key": "api"}}))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            assert request.headers["Authorization"] == "Bearer api"
            assert request.url.port == 8081
            self.renewed += 1
            self.write(f"renewed {self.renewed}", "2999-01-01T00:00:00Z")
            return httpx.Response(200)
        self.asked.append(request)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def zoo(self, tries: int = 4) -> Zoo:
        return Zoo(8080, self.key_file, tries=tries, pause=0.001, transport=httpx.MockTransport(self))


def ok() -> httpx.Response:
    return httpx.Response(200, json=ANSWER)


def test_classify(tmp_path: Path) -> None:
    server = Server(tmp_path, ok(), ok())
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    with server.zoo() as zoo:
        assert zoo.classify(b"picture", "gan_2") == ANSWER
        assert zoo.classify(tmp_path / "mole.jpg", "gan 2/x") == ANSWER
    assert [request.url.raw_path for request in server.asked] == [
        b"/predictions/lesion_classifier/gan_2",
        b"/predictions/lesion_classifier/gan%202%2Fx",
    ]
    assert {request.content for request in server.asked} == {b"picture"}
    assert {request.headers["Authorization"] for request in server.asked} == {"Bearer first"}
    # Without one, TorchServe would take the body for a form.
    assert {request.headers["Content-Type"] for request in server.asked} == {"application/octet-stream"}


def test_explain(tmp_path: Path) -> None:
    told = {"label": "mel", "class": "mel", "overlay": base64.b64encode(b"a png").decode()}
    server = Server(tmp_path, httpx.Response(200, json=told), httpx.Response(200, json=told))
    with server.zoo() as zoo:
        assert zoo.explain(b"picture", "gan_2") == b"a png"
        assert zoo.explain(b"picture", "gan 2", "mel&x") == b"a png"
    first, second = server.asked
    assert (first.url.raw_path, first.content) == (b"/explanations/lesion_classifier/gan_2", b"picture")
    assert second.url.raw_path == b"/explanations/lesion_classifier/gan%202"
    assert second.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="class"\r\n\r\nmel&x\r\n' in second.content
    assert b"\r\n\r\npicture\r\n" in second.content


def test_versions(tmp_path: Path) -> None:
    server = Server(tmp_path, httpx.Response(200, json=[{"modelVersion": "transfer"}, {"modelVersion": "baseline"}]))
    with server.zoo() as zoo:
        assert zoo.versions() == ["baseline", "transfer"]
    assert str(server.asked[0].url) == "http://127.0.0.1:8081/models/lesion_classifier/all"


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: httpx.Response(503, json={"code": 503, "message": "queue full"}),
        lambda: httpx.Response(500, json={"code": 500, "message": "Worker died."}),
        lambda: httpx.ReadTimeout("slow"),
        lambda: httpx.RemoteProtocolError("closed"),
    ],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, trouble: Callable[[], httpx.Response | Exception]) -> None:
    server = Server(tmp_path, trouble(), trouble(), ok())
    with server.zoo() as zoo:
        assert zoo.classify(b"x", "gan_2")["label"] == "mel"
    assert len(server.asked) == 3


def test_but_not_for_ever(tmp_path: Path) -> None:
    server = Server(tmp_path, *(httpx.Response(503, json={"message": "queue full"}) for _ in range(4)))
    with server.zoo() as zoo, pytest.raises(ZooError, match="queue full") as caught:
        zoo.classify(b"x", "gan_2")
    assert caught.value.code == 503
    server = Server(tmp_path, *(httpx.ReadTimeout("slow") for _ in range(4)))
    with server.zoo() as zoo, pytest.raises(ZooError, match=r"no answer from .* \(ReadTimeout\)") as caught:
        zoo.classify(b"x", "gan_2")
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(400, json={"code": 400, "message": "the body is empty"}), "the body is empty"),
        (httpx.Response(404, json={"code": 404, "message": "Model version: x does not exist"}), "does not exist"),
        (httpx.Response(413), "1 bytes are more than the server takes"),
        (httpx.Response(418, text="teapot"), "HTTP status 418"),
        (httpx.Response(400, json=["odd"]), "HTTP status 400"),
    ],
)
def test_a_refusal_is_final(tmp_path: Path, answer: httpx.Response, said: str) -> None:
    server = Server(tmp_path, answer)
    with server.zoo() as zoo, pytest.raises(ZooError, match=said) as caught:
        zoo.classify(b"x", "gan_2")
    assert caught.value.code == answer.status_code


def test_an_expired_token_is_renewed(tmp_path: Path) -> None:
    server = Server(tmp_path, ok())
    server.write("first", "2001-01-01T00:00:00Z")
    with server.zoo() as zoo:
        zoo.classify(b"x", "gan_2")
    assert server.renewed == 1
    assert server.asked[0].headers["Authorization"] == "Bearer renewed 1"


def test_a_token_that_expires_between_calls_is_renewed(tmp_path: Path) -> None:
    server = Server(tmp_path, ok(), httpx.Response(400, json=STALE), ok())
    with server.zoo() as zoo:
        zoo.classify(b"x", "gan_2")
        zoo.classify(b"x", "gan_2")
    assert [request.headers["Authorization"][7:] for request in server.asked] == ["first", "first", "renewed 1"]


def test_many_threads_renew_a_token_once(tmp_path: Path) -> None:
    class Strict(Server):
        """Takes the latest token only; the first has expired, and nobody was told."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            time.sleep(0.005)
            if request.url.path == "/token":
                return super().__call__(request)
            is_new = request.headers["Authorization"] == f"Bearer renewed {self.renewed}"
            return ok() if is_new else httpx.Response(400, json=STALE)

    server = Strict(tmp_path)
    with server.zoo() as zoo, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: zoo.classify(b"x", "gan_2"), range(16)))
    assert answers == [ANSWER] * 16
    assert server.renewed == 1


def test_the_token_of_a_server_started_again_is_read_again(tmp_path: Path) -> None:
    server = Server(tmp_path, ok(), httpx.Response(400, json=STALE), ok())
    with server.zoo() as zoo:
        zoo.classify(b"x", "gan_2")
        server.write("second", "2999-01-01T00:00:00Z")
        zoo.classify(b"x", "gan_2")
    assert server.renewed == 0
    assert server.asked[-1].headers["Authorization"] == "Bearer second"


def test_a_token_that_stays_wrong_is_an_error(tmp_path: Path) -> None:
    server = Server(tmp_path, *(httpx.Response(400, json=STALE) for _ in range(4)))
    with server.zoo() as zoo, pytest.raises(ZooError, match="Token Authorization failed"):
        zoo.classify(b"x", "gan_2")
    assert len(server.asked) == 2


def test_no_server(tmp_path: Path) -> None:
    server = Server(tmp_path, httpx.ConnectError("refused"))
    with server.zoo() as zoo, pytest.raises(ZooError, match=r"no server at .*8080; start it: make serve"):
        zoo.classify(b"x", "gan_2")
    server.key_file.unlink()
    with server.zoo() as zoo, pytest.raises(ZooError, match=r"no token in .*key_file\.json"):
        zoo.versions()


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with Server(tmp_path).zoo() as zoo, pytest.raises(ZooError, match=r"none\.jpg: No such file"):
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
KEYS = ["label", "probabilities", "overlay", "images", "image", "modelVersion", "customizedMetadata", "type", "message"]
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
    class Odd(Server):
        """Never says anything else."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            renewed = super().__call__(request) if request.url.path == "/token" else None
            return renewed or httpx.Response(status, content=content)

    with Odd(tmp_path_factory.mktemp("odd")).zoo(tries=2) as zoo:
        try:
            found = call(zoo)
        except ZooError as error:
            assert 0 < len(str(error)) < 500
            assert "first" not in str(error)  # the token's own text
        else:
            assert 200 <= status < 300
            if isinstance(found, dict) and "probabilities" in found:
                assert list(found["probabilities"]) == list(CLASSES)
                assert found["label"] in CLASSES
                assert all(0 <= chance <= 1 for chance in found["probabilities"].values())


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
    said = {key: value for key, value in (ANSWER | change).items() if value is not ...}
    server = Server(tmp_path, httpx.Response(200, content=json.dumps(said)))
    with server.zoo() as zoo, pytest.raises(ZooError, match="is not the zoo's; is another server on that port"):
        zoo.classify(b"x", "gan_2")


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "[" * 9999, "{}", '{"inference": 1}', '{"inference": {"key": 1}}']
)
def test_a_damaged_key_file_is_said(tmp_path: Path, content: str) -> None:
    server = Server(tmp_path)
    server.key_file.write_text(content)
    with server.zoo() as zoo, pytest.raises(NoServer, match=r"no token in .*key_file\.json .*; start the server"):
        zoo.classify(b"x", "gan_2")


def test_another_server_on_the_port_is_named(tmp_path: Path) -> None:
    server = Server(tmp_path, httpx.Response(200, text="<html>It works!</html>"))
    with server.zoo() as zoo, pytest.raises(ZooError, match=r"8080/pred.* is not the zoo's; is another server on that"):
        zoo.classify(b"x", "gan_2")
    server = Server(tmp_path, httpx.Response(200, json={"images": []}))
    with server.zoo() as zoo, pytest.raises(ZooError, match="no images"):  # and not asked for ever
        zoo.synthesize("mel", 2, 7, "sagan")


SECRET = "sec-4f1c-ret"


def test_tokens_are_in_no_error_and_in_no_answer_that_is_kept(
    standing: "Standing", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")  # httpx and httpcore tell what they do
    own = {"key": SECRET, "expiration time": "2999-01-01T00:00:00Z"}
    standing.key_file.write_text(json.dumps({"inference": own, "management": own, "API": {"key": SECRET}}))
    with standing.zoo() as zoo:
        described = served(zoo)
        collect(zoo, described, standing.labeled, tmp_path / "answers", {}, patience=5)
        standing.trouble = lambda entry, image: httpx.Response(400, json={"message": "no"})
        with pytest.raises(ZooError, match="no") as caught:
            zoo.classify(b"x", "baseline")
    assert SECRET not in f"{caught.value!r} {zoo!r}"
    kept = [file.read_text() for file in (tmp_path / "answers").rglob("*") if file.is_file()]
    assert len(kept) >= 2
    assert not any(SECRET in text for text in (*kept, caplog.text))
    assert SECRET in standing.key_file.read_text()


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`python -m compare predict` against versions baseline and gan_2, which give `answers` in turn."""
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(arguments: list[str], *answers: httpx.Response | Exception) -> Any:
        rows = httpx.Response(200, json=[{"modelVersion": "baseline"}, {"modelVersion": "gan_2"}])
        server = Server(tmp_path, rows, *answers)
        monkeypatch.setattr(command, "Zoo", lambda port, key_file, seconds: server.zoo())
        return CliRunner().invoke(command.app, ["predict", *arguments])

    return run


def test_predict_shows_every_version_and_the_notice(predict: Callable[..., Any]) -> None:
    done = predict(["mole.jpg", "--port", "8080"], ok(), httpx.Response(200, json=ANSWER | {"entry": "baseline"}))
    assert done.exit_code == 0
    assert "baseline" in done.output
    assert "gan_2" in done.output
    assert "0.40" in done.output
    assert "melanoma" in done.output
    assert done.output.strip().endswith(NOTICE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mole.jpg"], "error: no server of the study phantom-demo is running; start it: make serve\n"),
        (["none.jpg", "--port", "8080"], "error: none.jpg: No such file or directory\n"),
        (["mole.jpg", "--port", "8080", "--entry", "x"], "error: no entry 'x' is served; there are: baseline, gan_2\n"),
        (["mole.jpg", "--port", "8080"], "error: the image is damaged\n"),
    ],
)
def test_a_mistake_is_told_in_one_line(predict: Callable[..., Any], arguments: list[str], said: str) -> None:
    done = predict(arguments, httpx.Response(400, json={"code": 400, "message": "the image is damaged"}))
    assert (done.exit_code, done.output) == (2, said)


def test_the_explain_command_writes_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mole.jpg").write_bytes(b"picture")
    monkeypatch.chdir(tmp_path)
    default = httpx.Response(200, json=[{"modelVersion": "gan_2"}])
    overlay = httpx.Response(200, json={"overlay": base64.b64encode(b"a png").decode()})
    server = Server(tmp_path, default, ok(), overlay)
    monkeypatch.setattr(command, "Zoo", lambda port, key_file, seconds: server.zoo())
    done = CliRunner().invoke(command.app, ["explain", "mole.jpg", "--port", "8080"])
    assert done.exit_code == 0, done.output
    file = Path("reports/phantom-demo/explained/mole_gan_2_mel.png")
    assert file.read_bytes() == b"a png"
    assert "gan_2 says mel; the bright places speak for mel (probability 0.40)" in done.output
    assert done.output.endswith(NOTICE + "\n")
    assert b"\r\n\r\nmel\r\n" in server.asked[-1].content
    refusal = httpx.Response(400, json={"code": 400, "message": "no class 'wart'; there are: akiec"})
    server = Server(tmp_path, default, ok(), refusal)
    done = CliRunner().invoke(command.app, ["explain", "mole.jpg", "--port", "8080", "--class", "wart"])
    assert (done.exit_code, done.output) == (2, "error: no class 'wart'; there are: akiec\n")
