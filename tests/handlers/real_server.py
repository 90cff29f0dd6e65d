"""Two classifiers in a real server, and what their answers should be."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from lesions.labels import CLASSES, DATA_LICENSE, NOTICE
from tests.images import file_of
from tests.networks import digest, probabilities, save_model
from tests.servers import free_ports, pack, start, stop
from zoo.models.network import build

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


def make(store: Path, name: str, network: torch.nn.Module, pixels: int = PIXELS) -> None:
    """Pack a network that takes images of `pixels`; the entry says `PIXELS`."""
    model = save_model(network, store.parent / f"{name}.onnx", pixels, MEAN, STD, TEMPERATURE)
    entry = {
        "entry": name,
        "study": "tests",
        "kind": "classifier",
        "about": "?",
        "notice": NOTICE,
        "data": "phantom",
        "data_licence": DATA_LICENSE,
        "architecture": "test_efficientnet",
        "pixels": PIXELS,
        "classes": CLASSES,
        "mean": MEAN,
        "deviation": STD,
        "recipe": {},
        "scores": {},
        "calibration": {"temperature": TEMPERATURE},
        "model_sha256": digest(model),
        "weights_sha256": "",
        "split_sha256": "",
        "versions": {},
        "commit": "",
    }
    pack(entry, model, store / f"{name}.mar")


class Served(NamedTuple):
    """A running server, a client with a valid token, and the networks behind its versions."""

    http: httpx.Client
    folder: Path
    port: int
    networks: dict[str, torch.nn.Module]
    runtime: str

    def post(self, content: bytes, kind: str = "image/jpeg", path: str = BASELINE) -> httpx.Response:
        return self.http.post(path, content=content, headers={"Content-Type": kind})

    def expected(self, pixels: NDArray[np.uint8], version: str = "baseline") -> dict[str, float]:
        """What `version` should say of RGB `pixels` [height, width, 3], by another way than the handler's."""
        height, width, _ = pixels.shape
        assert height == width  # so that there is nothing to crop
        small = Image.fromarray(pixels).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
        row = probabilities(self.networks[version], np.array(small)[None], MEAN, STD, TEMPERATURE)[0].tolist()
        return dict(zip(CLASSES, row, strict=True))


@contextmanager
def serving(root: Path, runtime: str) -> Iterator[Served]:
    """A server of two versions, its files in `root`."""
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
            start(root / "store", folder, port, runtime=runtime)
            key = json.loads((folder / "key_file.json").read_text())["inference"]["key"]
            url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
                yield Served(http, folder, port, networks, runtime)
        finally:
            stop(folder)


def png(pixels: NDArray[np.uint8]) -> bytes:
    return file_of(Image.fromarray(pixels))


def assert_says(answer: httpx.Response, expected: dict[str, float]) -> None:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["label", "probabilities", "entry", "study", "notice"]
    assert body["probabilities"] == pytest.approx(expected, abs=1e-4)
    assert body["label"] == max(expected, key=expected.__getitem__)
    assert body["notice"] == NOTICE


def assert_refused(answer: httpx.Response, code: int, message: str) -> None:
    assert answer.status_code == code
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"code", "type", "message"}
    assert body["code"] == code
    assert message in body["message"]
    assert "Traceback" not in answer.text
