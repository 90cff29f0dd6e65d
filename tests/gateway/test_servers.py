"""The gateway before real servers of each runtime: what is asked, killed, and started again."""

import base64
import io
import json
import socket
import time
from collections.abc import Iterator

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http as triton
from PIL import Image

from gateway import process, start
from gateway.log import FILE
from tests.faults.checkout import wait_for
from tests.faults.garbage import noise
from tests.faults.serving import is_gone
from tests.gateway.servers import ORIGIN, Served, serving
from tests.images import file_of
from tests.servers import SERVED_BY, processes, state
from zoo.serving.connection import KEY_FILE, RestServer
from zoo.serving.http import ServerError
from zoo.serving.rest.connections import MOST_FILES
from zoo.serving.runtime import LOOPBACK, get_runtime

pytestmark = pytest.mark.server

PICTURE = file_of(noise())


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), request.param) as served:
        yield served


def gateway_process(served: Served) -> psutil.Process:
    """The process that listens on the gateway's port: the runtime's own, or one for itself."""
    running = process.read_state(served.settings.folder) or state(served.settings.folder)
    assert running is not None
    return psutil.Process(running["pid"])


def test_pictures(served: Served) -> None:
    runtime = RestServer(served.settings.folder, served.settings.runtime_port)
    with httpx.Client(auth=runtime.auth, trust_env=False) as http:
        url = f"{runtime.url}/predictions/lesion_classifier/baseline"
        expected = http.post(url, content=PICTURE, headers={"Content-Type": "image/png"}).json()
    runtime.close()
    with served.http() as http:
        for sent in (
            {"content": PICTURE},
            {"content": PICTURE, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            {"files": {"image": PICTURE}},
            {"json": {"image": base64.b64encode(PICTURE).decode()}},
        ):
            for path in ("/v1/classify/baseline", "/v1/classify"):
                answer = http.post(path, **sent)
                assert answer.status_code == 200, answer.text
                assert answer.json() == expected | {"id": answer.json()["id"]}
        answer = http.post("/v1/classify", files=[("image", PICTURE), ("image", b"oops")])
        assert answer.status_code == 200, answer.text
        rows = answer.json()["answers"]
        assert rows[0]["answer"] == expected | {"id": rows[0]["answer"]["id"]}
        assert (rows[1]["status"], rows[1]["error"]["title"]) == (422, "Unprocessable Content")


def test_explanations_and_synthesis(served: Served) -> None:
    with served.http() as http:
        answer = http.post("/v1/explain/baseline?class=mel", content=PICTURE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["class"] == "mel"
        png = http.post("/v1/explain/baseline", files={"a": PICTURE}, headers={"Accept": "image/png"})
        assert png.headers["Content-Type"] == "image/png"
        assert Image.open(io.BytesIO(png.content)).format == "PNG"
        assert http.post("/v1/explain/baseline?class=wart", content=PICTURE).status_code == 422
        answer = http.post("/v1/synthesize/sagan", content=b'{"class": "mel"}')
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["images"]) == 1
        assert http.post("/v1/synthesize/sagan", content=b'{"class": "wart"}').status_code == 422
        assert http.post("/v1/synthesize/baseline", content=b'{"class": "mel"}').status_code == 404


def test_what_is_served(served: Served) -> None:
    with served.http() as http:
        rows = http.get("/v1/models").json()
        assert [(row["name"], row["default"]) for row in rows] == [("baseline", True), ("sagan", True)]
        assert http.get("/v1/models/baseline").json()["entry"] == "baseline"
        assert "baseline" in http.get("/v1/models/baseline/card").text
        assert "gateway_requests_total" in http.get("/metrics").text


def test_a_large_body(served: Served) -> None:
    with served.http() as http:
        assert http.post("/v1/classify", content=bytes(1_000_000)).status_code == 422
        assert http.post("/v1/classify", content=bytes(1_000_001)).status_code == 413


def test_a_browser(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = http.options("/v1/classify", headers=asked | {"Origin": ORIGIN})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
        refused = http.post("/v1/classify", content=PICTURE, headers={"Origin": ORIGIN})
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_triton_s_client(served: Served) -> None:
    client = triton.InferenceServerClient(served.url.removeprefix("http://"))
    key = {"Authorization": f"Bearer {served.key}"}
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("lesion_classifier", "baseline", headers=key)
        assert client.get_server_metadata(headers=key)["name"] == "lesion-zoo"
        assert client.get_model_metadata("lesion_classifier", headers=key)["versions"] == ["baseline"]
        pixels = np.array(noise().convert("RGB"))
        image = triton.InferInput("image", [2], "BYTES")
        image.set_data_from_numpy(np.array([PICTURE, PICTURE], dtype=np.object_))
        array = triton.InferInput("pixels", [1, *pixels.shape], "UINT8")
        for binary in (True, False):
            array.set_data_from_numpy(pixels[None], binary_data=binary)
            answers = [
                client.infer("lesion_classifier", [sent], headers=dict(key), request_compression_algorithm=packed)
                for sent in (image, array)
                for packed in (None, "gzip", "deflate")
            ]
            first = answers[0].as_numpy("probabilities")
            assert first.shape == (2, 7)
            for answer in answers:
                assert answer.as_numpy("probabilities")[0] == pytest.approx(first[0], abs=1e-6)
        bad = triton.InferInput("image", [1], "BYTES")
        bad.set_data_from_numpy(np.array([b"oops"], dtype=np.object_))
        with pytest.raises(triton.InferenceServerException, match="picture 0: not an image"):
            client.infer("lesion_classifier", [bad], headers=key)
        with pytest.raises(triton.InferenceServerException, match="send an API key"):
            client.infer("lesion_classifier", [image])
    finally:
        client.close()


def test_the_runtime_s_token_is_renewed(served: Served) -> None:
    file = served.settings.folder / KEY_FILE
    with served.http() as http:
        assert http.post("/v1/classify", content=PICTURE).status_code == 200
        before = json.loads(file.read_text())
        runtime = RestServer(served.settings.folder, served.settings.runtime_port, {"token_minutes": 60 * 24 * 7})
        runtime.renew_credentials()  # by another client: the gateway's token is void now
        runtime.close()
        assert json.loads(file.read_text())["inference"] != before["inference"]
        assert http.post("/v1/classify", content=PICTURE).status_code == 200
        assert http.get("/v1/models").status_code == 200


def test_a_slow_client_keeps_nobody_waiting(served: Served) -> None:
    head = f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\nContent-Length: 9\r\n\r\n1"
    slow = [socket.create_connection((LOOPBACK, served.settings.port)) for _ in range(30)]
    try:
        for one in slow:
            one.sendall(head.encode())
        with served.http() as http:
            begun = time.monotonic()
            assert http.post("/v1/classify", content=PICTURE).status_code == 200
            assert time.monotonic() - begun < 5
    finally:
        for one in slow:
            one.close()


def test_the_log_has_neither_pictures_nor_keys(served: Served) -> None:
    with served.http() as http:
        for query, name in ((f"?key={served.key}", "refused"), ("", "mine")):
            http.post(f"/v1/classify{query}", content=PICTURE, headers={"X-Request-Id": name})
    # A line is written when its answer has gone.
    wait_for(lambda: '"mine"' in (served.settings.folder / FILE).read_text(), "a line of the log")
    text = "".join(file.read_text() for file in served.settings.folder.rglob("*.log*"))
    assert served.key not in text
    lines = [json.loads(line) for line in (served.settings.folder / FILE).read_text().splitlines()]
    for name, status, pictures in (("refused", 422, None), ("mine", 200, 1)):
        [line] = [line for line in lines if line.get("request_id") == name]
        logged = line["path"], line["status"], line["key"], line["pictures"]
        assert logged == ("/v1/classify", status, "tests", pictures)
    assert (served.settings.folder / FILE).stat().st_mode & 0o077 == 0


def test_a_port_that_is_taken(served: Served) -> None:
    before = gateway_process(served)
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        with pytest.raises(ServerError, match=r"\(gateway\): .* choose another: make serve GATEWAY_PORT=8100"):
            served.start(port=other.getsockname()[1])
    with pytest.raises(ServerError, match="one of the runtime's"):
        served.start(port=served.settings.runtime_port + 1)
    assert gateway_process(served) == before
    assert before.is_running()


def test_starting_again(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    before = gateway_process(served)
    served.start()
    assert gateway_process(served) == before
    capfd.readouterr()
    served.start(origins=())
    assert "was running with other settings: starting again" in capfd.readouterr().out
    assert gateway_process(served) != before
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        assert http.get("/v2/health/ready", headers={"Origin": ORIGIN}).status_code == 200
        assert http.options("/v1/classify", headers={"Origin": ORIGIN}).status_code == 405
    served.start()


def test_an_interrupted_start_starts_no_gateway_and_leaves_no_runtime(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def interrupted(at: object, name: str, **changes: object) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(at, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                served.start(**changes)

    runtime, folder = get_runtime(served.runtime), served.settings.folder
    if runtime.hosts_front:
        pytest.skip("the gateway is in the same process")
    before = set(runtime.processes(folder))
    interrupted(type(runtime), "start", origins=())
    assert start.running(folder) == served.settings.model_dump(mode="json"), "the one that ran goes on"
    interrupted(process, "answers", origins=())
    assert set(runtime.processes(folder)) == before, "the runtime ran before"
    assert start.stop(folder)
    interrupted(process, "answers")
    assert not runtime.processes(folder)
    assert not process.processes_of(folder)
    served.start()


def test_the_runtime_dies_and_comes_back(served: Served) -> None:
    if get_runtime(served.runtime).hosts_front:
        pytest.skip("the gateway is in the same process")
    for one in processes(served.settings.folder):
        one.kill()
    with served.http() as http:
        answer = http.post("/v1/classify", content=PICTURE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert http.get("/v2/health/live").status_code == 200
        assert http.get("/v2/health/ready").status_code == 503
        served.start()
        assert http.post("/v1/classify", content=PICTURE).status_code == 200
        assert http.get("/v2/health/ready").status_code == 200


def test_it_takes_as_many_connections_as_the_system_allows(served: Served) -> None:
    allowed, most = gateway_process(served).rlimit(psutil.RLIMIT_NOFILE)
    assert allowed == min(most, MOST_FILES)


def test_stopping(served: Served) -> None:
    one = gateway_process(served)
    assert start.running(served.settings.folder) is not None
    assert start.stop(served.settings.folder)
    # Its memory may still be given back; and it stays a zombie where no init fetches it.
    wait_for(lambda: is_gone(one.pid), "the end of the gateway", seconds=10)
    assert start.running(served.settings.folder) is None
    assert not start.stop(served.settings.folder)
    (damaged := served.settings.archives / "damaged.mar").write_bytes(b"no archive")
    with pytest.raises(ServerError, match="1 of 3 versions cannot be served"):
        served.start()
    damaged.unlink()
    with served.http() as http:
        assert http.get("/v2/health/ready").status_code == 200, "the gateway is before the others"
