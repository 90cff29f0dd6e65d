"""The handler in a real TorchServe: what can be read is read rightly, the rest is refused with the reason."""

import base64
import concurrent.futures
import hashlib
import io
import json
import shutil
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from compare.client import Zoo, ZooError
from lesions.labels import CLASSES, DATA_LICENSE, NOTICE
from zoo.models.network import build, probabilities
from zoo.packaging.archive import pack
from zoo.serving.torchserve.process import PORTS, ServerError, state
from zoo.serving.torchserve.server import logs, start, status, stop, versions

pytestmark = pytest.mark.server

MEAN, STD, PIXELS, TEMPERATURE = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], 64, 1.5
BASELINE = "/predictions/lesion_classifier/baseline"


def network_of(seed: int) -> torch.nn.Module:
    """A random network that tells pictures apart: its batch norms are settled, and its last layer is steep."""
    torch.manual_seed(seed)
    network = build("test_efficientnet")
    network.train()
    with torch.inference_mode():
        for _ in range(30):
            network(torch.randn(8, 3, PIXELS, PIXELS))
    with torch.no_grad():
        network.get_parameter("classifier.weight").mul_(5)
    return network.eval()


def make(store: Path, name: str, network: torch.nn.Module, architecture: str = "test_efficientnet") -> None:
    store.mkdir(exist_ok=True)
    weights = store.parent / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, weights)
    entry = {
        "entry": name,
        "study": "tests",
        "kind": "classifier",
        "about": "?",
        "notice": NOTICE,
        "data": "phantom",
        "data_licence": DATA_LICENSE,
        "architecture": architecture,
        "pixels": PIXELS,
        "classes": CLASSES,
        "mean": MEAN,
        "deviation": STD,
        "recipe": {},
        "scores": {},
        "calibration": {"temperature": TEMPERATURE},
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "split_sha256": "",
        "versions": {},
        "commit": "",
    }
    pack(entry, weights, store / f"{name}.mar")


def free_ports() -> int:
    """The first of as many free ports in a row as a server needs."""
    for first in range(20_000, 60_000, 53):
        try:
            for port in range(first, first + len(PORTS)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


class Served(NamedTuple):
    """A running server, a client with a valid token, and the networks behind its versions."""

    http: httpx.Client
    folder: Path
    port: int
    networks: dict[str, torch.nn.Module]

    def post(self, content: bytes, kind: str = "image/jpeg", path: str = BASELINE) -> httpx.Response:
        return self.http.post(path, content=content, headers={"Content-Type": kind})

    def expected(self, pixels: NDArray[np.uint8], version: str = "baseline") -> dict[str, float]:
        """What `version` should say of RGB `pixels` [height, width, 3], by another way than the handler's."""
        height, width, _ = pixels.shape
        assert height == width  # so that there is nothing to crop
        small = Image.fromarray(pixels).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
        batch = torch.from_numpy(np.asarray(small).copy())[None]
        row = probabilities(self.networks[version], batch, MEAN, STD, TEMPERATURE)[0].tolist()
        return dict(zip(CLASSES, row, strict=True))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("server")
    networks = {"baseline": network_of(0), "transfer": network_of(1)}
    for name, network in networks.items():
        make(root / "store", name, network)
    impostor = root / "path" / "lesions"  # an exported PYTHONPATH would win over the archive's own modules
    impostor.mkdir(parents=True)
    (impostor / "__init__.py").write_text("raise RuntimeError('not the archive')")
    port, folder = free_ports(), root / "serve"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root / "path"))
        patch.setenv("TS_DISABLE_TOKEN_AUTHORIZATION", "true")
        try:
            start(root / "store", folder, port)
            key = json.loads((folder / "key_file.json").read_text())["inference"]["key"]
            url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
                yield Served(http, folder, port, networks)
        finally:
            stop(folder)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """An RGB picture, square, that differs from its mirror images and rotations, with few colors."""
    coarse = np.random.default_rng(3).choice(np.array([0, 90, 170, 255], np.uint8), (12, 12, 3))
    return coarse.repeat(10, axis=0).repeat(10, axis=1)


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    return file_of(Image.fromarray(pixels))


def assert_says(answer: httpx.Response, wanted: dict[str, float]) -> None:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert list(found) == ["label", "probabilities", "entry", "study", "notice"]
    assert found["probabilities"] == pytest.approx(wanted, abs=1e-4)
    assert found["label"] == max(wanted, key=wanted.__getitem__)
    assert found["notice"] == NOTICE


def assert_refused(answer: httpx.Response, code: int, said: str) -> None:
    assert answer.status_code == code
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"code", "type", "message"}
    assert body["code"] == code
    assert said in body["message"]
    assert "Traceback" not in answer.text


def test_served_and_offline_agree(served: Served) -> None:
    random = np.random.default_rng(0)
    for version in ("baseline", "transfer"):
        for _ in range(5):
            picture = random.integers(0, 256, (90, 90, 3), dtype=np.uint8)
            answer = served.post(png(picture), "image/png", f"/predictions/lesion_classifier/{version}")
            assert_says(answer, served.expected(picture, version))
            assert answer.json()["entry"] == version


def test_a_wrong_reading_would_show(served: Served, pixels: NDArray[np.uint8]) -> None:
    right = np.array(list(served.expected(pixels).values()))
    for wrong in (np.rot90(pixels), pixels[:, ::-1], 255 - pixels, pixels[..., ::-1], pixels // 2):
        assert np.abs(np.array(list(served.expected(wrong.copy()).values())) - right).max() > 1e-3


def test_a_picture_of_a_camera_is_cropped(served: Served) -> None:
    wide = np.zeros((64, 100, 3), np.uint8)
    wide[:, 18:82] = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert_says(served.post(png(wide)), served.expected(wide[:, 18:82]))


def test_text(served: Served) -> None:
    assert_refused(served.post(b"hello", "text/plain"), 400, "not an image of a supported format (JPEG, PNG, ")


def test_an_empty_body(served: Served) -> None:
    assert_refused(served.post(b""), 400, "the body is empty; send the bytes of one image")


def test_a_truncated_jpeg(served: Served, pixels: NDArray[np.uint8]) -> None:
    content = file_of(Image.fromarray(pixels), "JPEG")
    assert_refused(served.post(content[: len(content) // 2]), 400, "the image is damaged or cut short")


def test_a_png_of_20000_by_20000(served: Served) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"\0" * (2501 * 20_000), 9)
    content = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)) + chunk(b"IDAT", rows)
    began = time.monotonic()
    answer = served.post(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""), "image/png")
    assert_refused(answer, 413, "larger than 50,000,000 pixels")
    assert time.monotonic() - began < 5  # judged by the header


def test_a_gif(served: Served, pixels: NDArray[np.uint8]) -> None:
    image = Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE)
    colors = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    assert_says(served.post(file_of(image, "GIF"), "image/gif"), served.expected(colors[np.asarray(image)]))


def test_an_animated_gif(served: Served, pixels: NDArray[np.uint8]) -> None:
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_refused(served.post(content, "image/gif"), 400, "more than one frame or page; send one still picture")


def test_cmyk(served: Served, pixels: NDArray[np.uint8]) -> None:
    ink = np.dstack([255 - pixels, np.zeros(pixels.shape[:2], np.uint8)])
    content = file_of(Image.fromarray(ink, "CMYK"), "TIFF")
    assert_says(served.post(content, "image/tiff"), served.expected(pixels))


def test_16_bit_gray(served: Served, pixels: NDArray[np.uint8]) -> None:
    gray = pixels[..., 0]
    content = png(gray.astype(np.uint16) * 257)  # type: ignore[arg-type]
    assert_says(served.post(content, "image/png"), served.expected(np.dstack([gray] * 3)))


def test_alpha(served: Served, pixels: NDArray[np.uint8]) -> None:
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:40, :50] = 0
    white = pixels.copy()
    white[:40, :50] = 255
    assert_says(served.post(png(np.concatenate([pixels, alpha], axis=2)), "image/png"), served.expected(white))


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_rotation(served: Served, pixels: NDArray[np.uint8], orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(pixels), "JPEG", exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert_says(served.post(content), served.expected(np.rot90(stored, turns).copy()))


@pytest.mark.parametrize("field", ["data", "body", "mole", "größe"])
def test_a_multipart_upload(served: Served, pixels: NDArray[np.uint8], field: str) -> None:
    answer = served.http.post(BASELINE, files={field: ("mole.png", png(pixels), "image/png")}, data={"note": "arm"})
    assert_says(answer, served.expected(pixels))


def test_two_files_in_one_upload(served: Served, pixels: NDArray[np.uint8]) -> None:
    answer = served.http.post(BASELINE, files={"a": ("a.png", png(pixels)), "b": ("b.png", png(pixels))})
    assert_refused(answer, 400, "2 files (a, b); send one picture a request")


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_json(served: Served, pixels: NDArray[np.uint8], prefix: str) -> None:
    body = {"image": prefix + base64.b64encode(png(pixels)).decode()}
    assert_says(served.http.post(BASELINE, json=body), served.expected(pixels))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{oops", "the body is not JSON"),
        (b"[1, 2]", 'send {"image": "<base64>"}'),
        (b'{"picture": ""}', 'send {"image": "<base64>"}'),
        (b'{"image": "***"}', '"image" is not base64'),
        (b'{"image": "aGVsbG8="}', "not an image of a supported format"),
    ],
)
def test_json_without_a_picture(served: Served, content: bytes, said: str) -> None:
    assert_refused(served.post(content, "application/json"), 400, said)


def test_an_unknown_version(served: Served, pixels: NDArray[np.uint8]) -> None:
    answer = served.post(png(pixels), "image/png", "/predictions/lesion_classifier/nonesuch")
    assert_refused(answer, 404, "Model version: nonesuch does not exist")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
def test_no_valid_token(served: Served, pixels: NDArray[np.uint8], header: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{served.port}{BASELINE}"
    assert_refused(httpx.post(url, content=png(pixels), headers=header, trust_env=False), 400, "Token Authorization")


def test_a_body_over_the_limit(served: Served) -> None:
    # TorchServe itself refuses it, without a body; our client says why.
    assert served.post(b"\0" * 10_000_001).status_code == 413
    assert_refused(served.post(b"\0" * 9_999_999), 400, "not an image")
    with Zoo(served.port, served.folder / "key_file.json") as zoo:
        with pytest.raises(ZooError, match="11,000,000 bytes are more than the server takes") as caught:
            zoo.classify(b"\0" * 11_000_000, "baseline")
        assert caught.value.code == 413


def test_explanations_and_predictions_that_arrive_together(served: Served, pixels: NDArray[np.uint8]) -> None:
    good, explain = png(pixels), BASELINE.replace("predictions", "explanations")
    first = served.post(good, "image/png", explain)  # imports captum
    assert first.status_code == 200, first.text
    wanted = served.expected(pixels)
    wishes = [None, "", "df", "wart"] * 8  # a prediction; an explanation of the predicted class, of one, of none

    def ask(wish: str | None) -> httpx.Response:
        if wish is None:
            return served.post(good, "image/png")
        return served.http.post(explain, files={"mole": ("m.png", good, "image/png")}, data={"class": wish})

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, wishes))
    for wish, answer in zip(wishes, answers, strict=True):
        if wish is None:
            assert_says(answer, wanted)
        elif wish == "wart":
            assert_refused(answer, 400, "no class 'wart'; there are: akiec")
        else:
            found = answer.json()
            assert list(found) == ["label", "class", "overlay", "entry", "study", "notice"]
            assert found["label"] == max(wanted, key=wanted.__getitem__)
            assert found["class"] == (wish or found["label"])
            shown = Image.open(io.BytesIO(base64.b64decode(found["overlay"])))
            assert (shown.format, shown.size) == ("PNG", pixels.shape[1::-1])
    form = served.http.post(explain, files={"mole": ("m.png", good, "image/png")}, data={"class": "bcc"})
    sent = served.http.post(explain, json={"image": base64.b64encode(good).decode(), "class": "bcc"})
    with Zoo(served.port, served.folder / "key_file.json") as zoo:
        mine = zoo.explain(good, "baseline", "bcc")
        with pytest.raises(ZooError, match="no class 'a/b&c'"):
            zoo.explain(good, "baseline", "a/b&c")
    assert form.json()["class"] == sent.json()["class"] == "bcc"
    assert base64.b64decode(form.json()["overlay"]) == base64.b64decode(sent.json()["overlay"]) == mine


def test_good_requests_get_their_answer_beside_bad_ones(served: Served, pixels: NDArray[np.uint8]) -> None:
    good, bad = png(pixels), [b"hello", b"", good_half := png(pixels)[:300], b'{"image": 1}']
    assert good_half
    contents = [good if number % 2 else bad[number // 2 % len(bad)] for number in range(48)]
    model_log = served.folder / "logs" / "model_log.log"
    before = model_log.read_text().count("Backend received inference")
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(served.post, contents))
    assert [answer.status_code for answer in answers] == [400, 200] * 24
    for answer in answers[1::2]:
        assert_says(answer, served.expected(pixels))
    assert model_log.read_text().count("Backend received inference") - before < 48  # some did share a batch


def test_the_client_is_given_the_same(served: Served, pixels: NDArray[np.uint8]) -> None:
    with Zoo(served.port, served.folder / "key_file.json") as zoo:
        assert zoo.versions() == ["baseline", "transfer"]
        for version in zoo.versions():
            found = zoo.classify(png(pixels), version)["probabilities"]
            assert found == pytest.approx(served.expected(pixels, version), abs=1e-4)
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
            assert "does not match any allowed URL" in answer.text
        assert management.delete("/models/lesion_classifier/baseline").status_code == 405


def test_status_and_logs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(row.name, row.ready, row.workers, row.port) for row in versions(served.folder)]
    assert rows == [("baseline", True, 1, served.port), ("transfer", True, 1, served.port)]
    assert status(served.folder).row_count == 2
    logs(served.folder)
    assert "MODEL_LOG" in capsys.readouterr().out
    assert (served.folder / "key_file.json").stat().st_mode & 0o777 == 0o600
    assert not list(Path("/tmp").glob(f".ts.sock.{served.port + 10}"))


def test_start_again_leaves_it_alone_and_prints_a_call_that_works(
    served: Served, pixels: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "a mole.png"
    sample.write_bytes(png(pixels))
    before = state(served.folder)
    start(served.folder.parent / "store", served.folder, served.port, sample=sample)
    assert state(served.folder) == before
    said = capsys.readouterr().out
    assert "already running" in said
    call = next(line for line in said.splitlines() if line.startswith("curl "))
    assert str(served.http.headers["Authorization"]).removeprefix("Bearer ") not in call
    if shutil.which("curl"):
        done = subprocess.run(call, shell=True, capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["probabilities"] == pytest.approx(served.expected(pixels), abs=1e-4)


def test_a_taken_port_is_an_error(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=rf"port {served.port} \(inference\).*PORT="):
        start(served.folder.parent / "store", tmp_path / "serve", served.port)
    with pytest.raises(ServerError, match=r"no archive in .*make zoo"):
        start(tmp_path, tmp_path / "serve", served.port)


def test_a_version_that_cannot_load_is_named_and_the_others_are_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "store", "baseline", network_of(0))
    make(tmp_path / "store", "broken", build("test_resnet"))  # not what its entry says
    (tmp_path / "store" / "torn.mar").write_bytes(b"PK")
    port, folder = free_ports(), tmp_path / "serve"
    began = time.monotonic()
    try:
        with pytest.raises(ServerError) as caught:
            start(tmp_path / "store", folder, port, seconds=90)
        assert time.monotonic() - began < 95
        said = str(caught.value)
        assert "2 of 3 versions cannot be served" in said
        assert "broken: zoo.models.network.WeightsError" in said
        assert "the weights of another network" in said
        assert "torn.mar is not in manifest.json" in said
        assert "The other 1 are served" in said
        with Zoo(port, folder / "key_file.json") as zoo:
            assert zoo.classify(file_of(Image.new("RGB", (64, 64))), "baseline")["entry"] == "baseline"
        found = state(folder)
        assert found is not None
        processes = [psutil.Process(found["pid"]), *psutil.Process(found["pid"]).children(recursive=True)]
        assert len(processes) > 1
    finally:
        stop(folder)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert not (folder / "key_file.json").exists()
    with pytest.raises(ServerError, match="nothing is running"):
        versions(folder)
    capsys.readouterr()
    stop(folder)
    assert capsys.readouterr().out == "nothing is running\n"
