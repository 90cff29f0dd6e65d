"""A tiny study with two versions in a real server: scored through REST, one of them made the champion."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compare.__main__ as command
from lesions.images import center_square, decode
from lesions.labels import CLASSES
from tests.compare.study_server import StudyServer
from tests.networks import digest, probabilities, save_model
from tests.servers import LOGS, SERVED_BY, connect, free_ports, pack, start, stop
from zoo.models.network import build
from zoo.models.session import MODEL
from zoo.serving import champion

pytestmark = pytest.mark.server

CHANNELS = [0.5, 0.5, 0.5]


def make(study_server: StudyServer, name: str, seed: int) -> None:
    """Archive a random network, and leave its predictions as training does."""
    torch.manual_seed(seed)
    network = build("test_efficientnet").eval()
    with torch.no_grad():
        network.get_parameter("classifier.weight").mul_(30)  # else it says much the same of every picture
    temperature = study_server.described[name].get("calibration", {}).get("temperature", 1)  # one is calibrated
    model = save_model(network, study_server.folders.run(name) / MODEL, 64, CHANNELS, CHANNELS, temperature)
    entry = study_server.described[name] | {
        "kind": "classifier",
        "study": "tiny",
        "mean": CHANNELS,
        "deviation": CHANNELS,
        "model_sha256": digest(model),
    }
    pack(entry, model, study_server.folders.archives / f"{name}.mar")
    lines = [f"image,part,label,{','.join(CLASSES)}"]
    for image in study_server.labeled.index.images:
        pixels = np.array(center_square(decode(study_server.labeled.source.read(image)), 64))[None]
        row = probabilities(network, pixels, CHANNELS, CHANNELS, temperature)[0].tolist()
        lines.append(f"{image},test,nv,{','.join(f'{value:.7f}' for value in row)}")
    (model.parent / "predictions.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_a_served_study_has_scores_and_a_champion(
    study_server: StudyServer, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.chdir(study_server.folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(study_server.folders.root))
    for seed, name in enumerate(("baseline", "transfer")):
        make(study_server, name, seed)
    folders, port = study_server.folders, free_ports()
    serve = folders.runs / "serve"

    def typed(*arguments: str) -> str:
        done = CliRunner().invoke(command.app, [*arguments, "--study", "tiny"])
        assert done.exit_code == 0, done.output
        return done.output

    try:
        start(folders.archives, serve, port, runtime=runtime)
        typed("evaluate")  # which runtime it is, nobody has to say
        actual = json.loads(Path("reports/tiny/results.json").read_text())
        assert {result["entry"] for result in actual["results"]} == {"baseline", "transfer"}
        assert all(result["offline"]["largest"] < 1e-4 for result in actual["results"])
        assert actual["images"] == len(study_server.labeled.index)
        message = typed("promote", "best")
        assert "transfer is the champion of tiny" in message
        keys = [own["key"] for own in json.loads((serve / "key_file.json").read_text()).values()]
        files = {file for file in folders.root.rglob("*") if file.is_file() and file.name != "key_file.json"}
        expected = {"index.html", "results.csv", "champion.json", *LOGS[runtime], "transfer.mar"}
        assert expected <= {file.name for file in files}
        assert not [file for file in files for key in keys if key.encode() in file.read_bytes()]
        assert not any(key in message for key in keys)
        with connect(serve, port) as zoo:
            assert zoo.default() == "transfer"
            zoo.set_default("baseline")
            start(folders.archives, serve, port, runtime=runtime)  # as `make serve` does
            assert zoo.default() == "transfer"
    finally:
        stop(serve)
    now = champion.current(folders.archives)
    assert now is not None
    assert now.macro_f1 == next(r["scores"]["macro_f1"] for r in actual["results"] if r["entry"] == "transfer")
