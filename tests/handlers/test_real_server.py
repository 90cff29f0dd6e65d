"""Real servers of each runtime: requests in every form, many at once, and how the server starts and stops."""

import base64
import concurrent.futures
import gzip
import io
import json
import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.handlers.real_server import BASELINE, Served, assert_refused, assert_says, make, network_of, png
from tests.images import file_of
from tests.servers import SERVED_BY, connect, free_ports, processes, start, state, stop
from zoo.serving.connection import upload
from zoo.serving.http import ServerError
from zoo.serving.runtime import get_runtime, runtime_of

pytestmark = pytest.mark.server


@pytest.mark.parametrize("field", ["data", "body", "mole", "größe"])
def test_a_multipart_upload(served: Served, pixels: NDArray[np.uint8], field: str) -> None:
    answer = served.http.post(BASELINE, files={field: ("mole.png", png(pixels), "image/png")})
    assert_says(answer, served.expected(pixels))


@pytest.mark.parametrize("call", ["predictions", "explanations"])
@pytest.mark.parametrize("field", ["label", "note", "clas"])
def test_an_unknown_field_is_refused(served: Served, pixels: NDArray[np.uint8], call: str, field: str) -> None:
    path, files = BASELINE.replace("predictions", call), {"image": ("mole.png", png(pixels), "image/png")}
    assert_refused(served.http.post(path, files=files, data={field: "mel"}), 400, f"unknown field '{field}'")
    body = {"image": base64.b64encode(png(pixels)).decode(), field: "mel"}
    assert_refused(served.http.post(path, json=body), 400, f"unknown key '{field}'")


def test_a_file_s_name_instead_of_the_file(served: Served) -> None:
    """`curl -F image=mole.jpg`, without @."""
    answer = served.http.post(BASELINE, files={"image": (None, "mole.jpg")})
    assert_refused(answer, 400, "the name of a file, 'mole.jpg', and not the file; send the picture's bytes")


def test_a_compressed_body(served: Served, pixels: NDArray[np.uint8]) -> None:
    body = json.dumps({"image": base64.b64encode(png(pixels)).decode()}).encode()
    for content, kind in ((png(pixels), "image/png"), (body, "application/json")):
        headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
        answer = served.http.post(BASELINE, content=gzip.compress(content), headers=headers)
        assert_refused(answer, 415, "Content-Encoding: gzip is not read")
    assert_refused(served.post(gzip.compress(png(pixels)), "image/png"), 400, "a gzip file; unpack it first")


def test_an_explanation_as_a_picture(served: Served, pixels: NDArray[np.uint8]) -> None:
    path, headers = BASELINE.replace("predictions", "explanations"), {"Content-Type": "image/png"}
    as_json = served.http.post(path, content=png(pixels), headers=headers | {"Accept": "application/json"})
    as_png = served.http.post(path, content=png(pixels), headers=headers | {"Accept": "image/png"})
    assert as_png.headers["Content-Type"] == "image/png"
    assert as_png.content == base64.b64decode(as_json.json()["overlay"])
    answer = served.http.post(path, content=b"hello", headers=headers | {"Accept": "image/png"})
    assert_refused(answer, 400, "not an image of a supported format")


def test_two_files_in_one_upload(served: Served, pixels: NDArray[np.uint8]) -> None:
    answer = served.http.post(BASELINE, files={"a": ("a.png", png(pixels)), "b": ("b.png", png(pixels))})
    assert_refused(answer, 400, "2 files (a, b); send one picture a request")
    large = png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    twice = [("a", ("a.png", large)), ("a", ("b.png", large))]
    answer = served.http.post(BASELINE, files=twice)
    # TorchServe hands on the last one only: the other shows in the body's length.
    reason = "more than one file in a field" if served.runtime == "torchserve" else "two fields named 'a'"
    assert_refused(answer, 400, f"{reason}; send one picture a request")


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_json(served: Served, pixels: NDArray[np.uint8], prefix: str) -> None:
    body = {"image": prefix + base64.b64encode(png(pixels)).decode()}
    assert_says(served.http.post(BASELINE, json=body), served.expected(pixels))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{oops", "the body is not JSON"),
        (b"[1, 2]", 'send {"image": "<base64>"}'),
        (b'{"picture": ""}', 'send {"image": "<base64>"}'),
        (b'{"image": "***"}', '"image" is not base64'),
        (b'{"image": "aGVsbG8="}', "not an image of a supported format"),
    ],
)
def test_json_without_a_picture(served: Served, content: bytes, message: str) -> None:
    assert_refused(served.post(content, "application/json"), 400, message)


def test_an_unknown_version(served: Served, pixels: NDArray[np.uint8]) -> None:
    answer = served.post(png(pixels), "image/png", "/predictions/lesion_classifier/nonesuch")
    assert_refused(answer, 404, "Model version: nonesuch does not exist")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
def test_no_valid_token(served: Served, pixels: NDArray[np.uint8], header: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{served.port}{BASELINE}"
    assert_refused(httpx.post(url, content=png(pixels), headers=header, trust_env=False), 400, "Token Authorization")


def test_a_body_over_the_limit(served: Served) -> None:
    # TorchServe itself refuses it, without a body; our client says why. The other runtime says so itself.
    answer = served.post(b"\0" * 10_000_001)
    assert answer.status_code == 413
    if served.runtime != "torchserve":
        assert_refused(answer, 413, "10,000,001 bytes are more than the server takes")
    assert_refused(served.post(b"\0" * 9_999_999), 400, "not an image")
    with connect(served.folder, served.port) as zoo:
        with pytest.raises(ServerError, match="11,000,000 bytes are more than the server takes") as caught:
            zoo.classify(b"\0" * 11_000_000, "baseline")
        assert caught.value.code == 413


def test_explanations_and_predictions_that_arrive_together(served: Served, pixels: NDArray[np.uint8]) -> None:
    good, explain = png(pixels), BASELINE.replace("predictions", "explanations")
    first = served.post(good, "image/png", explain)  # imports matplotlib
    assert first.status_code == 200, first.text
    expected = served.expected(pixels)
    labels = [None, "", "df", "wart"] * 8  # a prediction; an explanation of the predicted class, of one, of none

    def ask(label: str | None) -> httpx.Response:
        if label is None:
            return served.post(good, "image/png")
        return served.http.post(explain, files={"mole": ("m.png", good, "image/png")}, data={"class": label})

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, labels))
    for label, answer in zip(labels, answers, strict=True):
        if label is None:
            assert_says(answer, expected)
        elif label == "wart":
            assert_refused(answer, 400, "no class 'wart'; there are: akiec")
        else:
            body = answer.json()
            assert list(body) == ["label", "class", "overlay", "blank", "entry", "study", "notice"]
            assert body["label"] == max(expected, key=expected.__getitem__)
            assert body["class"] == (label or body["label"])
            shown = Image.open(io.BytesIO(base64.b64decode(body["overlay"])))
            assert (shown.format, shown.size) == ("PNG", pixels.shape[1::-1])
    form = served.http.post(explain, files={"mole": ("m.png", good, "image/png")}, data={"class": "bcc"})
    sent = served.http.post(explain, json={"image": base64.b64encode(good).decode(), "class": "bcc"})
    with connect(served.folder, served.port) as zoo:
        mine = zoo.explain(good, "baseline", "bcc").overlay
        with pytest.raises(ServerError, match="no class 'a/b&c'"):
            zoo.explain(good, "baseline", "a/b&c")
    assert form.json()["class"] == sent.json()["class"] == "bcc"
    assert base64.b64decode(form.json()["overlay"]) == base64.b64decode(sent.json()["overlay"]) == mine


def batches(served: Served) -> int:
    """How many batches TorchServe has given to workers; there are none in other runtimes."""
    model_log = served.folder / "logs" / "model_log.log"
    return model_log.read_text().count("Backend received inference") if model_log.exists() else 0


def test_good_requests_get_their_answer_beside_bad_ones(served: Served, pixels: NDArray[np.uint8]) -> None:
    good, bad = png(pixels), [b"hello", b"", good_half := png(pixels)[:300], b'{"image": 1}']
    assert good_half
    contents = [good if number % 2 else bad[number // 2 % len(bad)] for number in range(48)]
    before = batches(served)
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(served.post, contents))
    assert [answer.status_code for answer in answers] == [400, 200] * 24
    for answer in answers[1::2]:
        assert_says(answer, served.expected(pixels))
    if served.runtime == "torchserve":
        assert batches(served) - before < 48  # some did share a batch


def test_the_client_is_given_the_same(served: Served, pixels: NDArray[np.uint8]) -> None:
    with connect(served.folder, served.port) as zoo:
        assert zoo.versions() == ["baseline", "transfer"]
        for version in zoo.versions():
            probabilities = zoo.classify(png(pixels), version)["probabilities"]
            assert probabilities == pytest.approx(served.expected(pixels, version), abs=1e-4)
        # A new token makes the client's stale, as 60 minutes do.
        keys = json.loads((served.folder / "key_file.json").read_text())
        headers = {"Authorization": f"Bearer {keys['API']['key']}"}
        url = f"http://127.0.0.1:{served.port + 1}/token?type=inference"
        assert httpx.get(url, headers=headers, trust_env=False).is_success
        assert zoo.classify(png(pixels), "baseline")["entry"] == "baseline"
    key = json.loads((served.folder / "key_file.json").read_text())["inference"]["key"]
    served.http.headers["Authorization"] = f"Bearer {key}"


def test_no_archive_can_be_brought_in_over_the_network(served: Served) -> None:
    keys = json.loads((served.folder / "key_file.json").read_text())
    with httpx.Client(
        base_url=f"http://127.0.0.1:{served.port + 1}",
        headers={"Authorization": f"Bearer {keys['management']['key']}"},
        trust_env=False,
    ) as management:
        for url in ("http://127.0.0.1:9/x.mar", "file:///tmp/x.mar"):
            assert management.post("/models", params={"url": url}).status_code == 405
            answer = management.post("/workflows", params={"url": url})
            assert answer.status_code == 404
            reason = "does not match any allowed URL" if served.runtime == "torchserve" else "resource is not found"
            assert reason in answer.text
        assert management.delete("/models/lesion_classifier/baseline").status_code == 405


def test_status_and_logs(served: Served) -> None:
    runtime = runtime_of(served.folder)
    assert runtime.name == served.runtime
    server = runtime.connect(served.folder)
    assert server.port == served.port
    rows = [(version.name, version.ready, version.workers) for version in server.status()]
    assert rows == [("baseline", True, 1), ("transfer", True, 1)]
    line = "MODEL_LOG" if served.runtime == "torchserve" else "baseline: ready"
    assert any(line in end for end in runtime.logs(served.folder, 1000).values())
    assert (served.folder / "key_file.json").stat().st_mode & 0o777 == 0o600
    assert not list(Path("/tmp").glob(f".ts.sock.{served.port + 10}"))


def test_start_again_changes_nothing_and_prints_a_call_that_works(
    served: Served, pixels: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "a mole.png"
    sample.write_bytes(png(pixels))
    before, runtime = state(served.folder), runtime_of(served.folder)
    start(served.folder.parent / "store", served.folder, served.port, runtime=served.runtime)
    assert state(served.folder) == before
    assert "already running" in capsys.readouterr().out
    url = f"{runtime.connect(served.folder).url}/predictions/lesion_classifier/baseline"
    call = runtime.example_call(served.folder, url, upload(sample))
    assert call.startswith("curl ")
    assert str(served.http.headers["Authorization"]).removeprefix("Bearer ") not in call
    if shutil.which("curl"):
        done = subprocess.run(call, shell=True, capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["probabilities"] == pytest.approx(served.expected(pixels), abs=1e-4)


def test_a_taken_port_is_an_error(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=rf"port {served.port} \(inference\).*PORT="):
        start(served.folder.parent / "store", tmp_path / "serve", served.port, runtime=served.runtime)
    with pytest.raises(ServerError, match=r"no archive in .*make zoo"):
        start(tmp_path, tmp_path / "serve", served.port, runtime=served.runtime)


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_a_version_that_cannot_load_is_named_and_the_others_are_served(tmp_path: Path, runtime: str) -> None:
    make(tmp_path / "store", "baseline", network_of(0))
    make(tmp_path / "store", "broken", network_of(0), pixels=32)  # not what its entry says
    (tmp_path / "store" / "torn.mar").write_bytes(b"PK")
    port, folder = free_ports(), tmp_path / "serve"
    try:
        with pytest.raises(ServerError) as caught:
            start(tmp_path / "store", folder, port, runtime=runtime)
        message = str(caught.value)
        assert "no answer in time" not in message
        assert "2 of 3 versions cannot be served" in message
        assert "the model of another network" in message
        assert "torn.mar is not in manifest.json" in message
        assert f"Served on port {port}: the other 1." in message
        with connect(folder, port) as zoo:
            assert zoo.classify(file_of(Image.new("RGB", (64, 64))), "baseline")["entry"] == "baseline"
        running = processes(folder)
        assert (len(running) > 1) == (runtime != "local")
    finally:
        stop(folder)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in running)
    assert not (folder / "key_file.json").exists()
    with pytest.raises(ServerError, match="no server of the study"):
        get_runtime(runtime).connect(folder)
    assert not stop(folder)


def test_one_runtime_takes_over_from_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "store", "baseline", network_of(0))
    port, folder = free_ports(), tmp_path / "serve"
    try:
        for runtime, before in ((SERVED_BY[0], ""), (SERVED_BY[1], SERVED_BY[0]), (SERVED_BY[0], SERVED_BY[1])):
            start(tmp_path / "store", folder, port, runtime=runtime)
            output = capsys.readouterr().out
            assert ("was served by" in output) == bool(before)
            assert not before or f"was served by {before}: stopped, to serve by {runtime}" in output
            assert runtime_of(folder).name == runtime
            with connect(folder, port) as zoo:
                assert zoo.classify(file_of(Image.new("RGB", (64, 64))), "baseline")["entry"] == "baseline"
    finally:
        stop(folder)
    assert state(folder) is None
