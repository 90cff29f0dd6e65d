"""A tiny study with two versions in a real TorchServe: scored through REST, one of them made the champion."""

import hashlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import compare.__main__ as command
from compare.client import Zoo
from lesions.images import center_square, decode
from lesions.labels import CLASSES
from zoo.models.network import build, probabilities
from zoo.packaging.archive import pack
from zoo.serving import champion
from zoo.serving.torchserve.server import start, stop

if TYPE_CHECKING:
    from tests.compare.conftest import Standing

pytestmark = pytest.mark.server

CHANNELS = [0.5, 0.5, 0.5]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 65_000)


def make(standing: "Standing", name: str, seed: int) -> None:
    """Archive a random network, and leave its predictions as training does."""
    torch.manual_seed(seed)
    network = build("test_efficientnet").eval()
    with torch.no_grad():
        network.get_parameter("classifier.weight").mul_(30)  # else it says much the same of every picture
    weights = standing.folders.run(name) / "weights.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, weights)
    entry = standing.described[name] | {
        "kind": "classifier",
        "study": "tiny",
        "mean": CHANNELS,
        "deviation": CHANNELS,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    pack(entry, weights, standing.folders.archives / f"{name}.mar")
    temperature = entry.get("calibration", {}).get("temperature", 1)  # one version is calibrated, the other is not
    lines = [f"image,part,label,{','.join(CLASSES)}"]
    for image in standing.labeled.index.images:
        pixels = torch.from_numpy(np.array(center_square(decode(standing.labeled.source.read(image)), 64)))[None]
        row = probabilities(network, pixels, CHANNELS, CHANNELS, temperature)[0].tolist()
        lines.append(f"{image},test,?,{','.join(f'{value:.7f}' for value in row)}")
    (weights.parent / "predictions.csv").write_text("\n".join(lines) + "\n")


def test_a_served_study_is_scored_and_has_a_champion(standing: "Standing", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(standing.folders.root)
    for seed, name in enumerate(("baseline", "transfer")):
        make(standing, name, seed)
    folders, port = standing.folders, free_port()
    serve = folders.runs / "serve"

    def typed(*arguments: str) -> str:
        done = CliRunner().invoke(command.app, [*arguments, "--study", "tiny"])
        assert done.exit_code == 0, done.output
        return done.output

    try:
        start(folders.archives, serve, port)
        typed("evaluate")
        found = json.loads(Path("reports/tiny/results.json").read_text())
        assert {result["entry"] for result in found["results"]} == {"baseline", "transfer"}
        assert all(result["offline"]["largest"] < 1e-4 for result in found["results"])
        assert found["images"] == len(standing.labeled.index)
        said = typed("promote", "best")
        assert "transfer is the champion of tiny" in said
        keys = [own["key"] for own in json.loads((serve / "key_file.json").read_text()).values()]
        files = {file for file in folders.root.rglob("*") if file.is_file() and file.name != "key_file.json"}
        assert {"index.html", "results.csv", "champion.json", "ts_log.log", "transfer.mar"} <= {
            file.name for file in files
        }
        assert not [file for file in files for key in keys if key.encode() in file.read_bytes()]
        assert not any(key in said for key in keys)
        with Zoo(port, serve / "key_file.json") as zoo:
            assert zoo.default() == "transfer"
            zoo.set_default("baseline")
            start(folders.archives, serve, port)  # as `make serve` does
            assert zoo.default() == "transfer"
    finally:
        stop(serve)
    now = champion.current(folders.archives)
    assert now is not None
    assert now.macro_f1 == next(r["scores"]["macro_f1"] for r in found["results"] if r["entry"] == "transfer")
