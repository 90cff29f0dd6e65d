"""The weights that transfer starts from: of a package, a hub or a file; or one message."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.networks import save_network
from zoo.build import prepare
from zoo.kinds.classifier import Classifier
from zoo.models import imagenet, network, pretrained
from zoo.models.weights import WeightsError
from zoo.study import ROOT, Folders, settle

ENTRIES = {"pretrained": Classifier(about="x", weights="pretrained")}


def study(tiny: Path, root: Path, **settings: str) -> Folders:
    folders, settled = settle({"data": str(tiny), "scale": "demo"} | settings, "mine", root)
    recipes = prepare.resolve_recipes(settled, prepare.make_data(folders, settled), ENTRIES)
    prepare.write(folders, settled, ENTRIES, recipes)
    return folders


def command(folders: Folders, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "zoo", "pretrained", "--study", folders.name],
        cwd=folders.root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LESION_ZOO_ROOT": str(folders.root)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_packages_weights_are_written(tiny: Path, tmp_path: Path) -> None:
    folders = study(tiny, tmp_path)
    assert command(folders).returncode == 0
    file = folders.run("source") / "weights.safetensors"
    expected = imagenet.load("tf_efficientnet_lite0")
    network.load(network.build("tf_efficientnet_lite0"), file, without_classifier=True)
    tensors = load_file(file)
    assert "classifier.weight" not in tensors
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors.items())


def test_weights_of_another_network_are_refused_and_nothing_is_left(tiny: Path, tmp_path: Path) -> None:
    file = save_network("test_resnet", tmp_path / "w.safetensors")
    folders = study(tiny, tmp_path, arch="test_efficientnet", weights=str(file))
    process = command(folders)
    assert process.returncode == 2
    assert "the weights of another network" in process.stderr
    assert "Traceback" not in process.stderr
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]


def test_without_a_network_the_hub_is_named_and_what_to_do(tiny: Path, tmp_path: Path) -> None:
    folders = study(tiny, tmp_path, arch="mobilenetv2_100")
    # A hub that refuses every connection, whatever network the machine has.
    process = command(folders, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf"))
    assert process.returncode == 2
    assert "WEIGHTS=imagenet: timm's hub did not give the weights of mobilenetv2_100" in process.stderr
    assert "or ARCH to one of tf_efficientnet_lite0" in process.stderr
    assert "Traceback" not in process.stderr
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]


def test_a_full_disk_leaves_nothing(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    folders = study(tiny, tmp_path)
    monkeypatch.setattr(pretrained, "atomic_write", full)
    with pytest.raises(OSError, match="No space left on device"):
        pretrained.make(folders, folders.read())
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]


def test_a_tampered_package_is_one_message(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = study(tiny, tmp_path)
    tampered = imagenet.PACKAGES["tf_efficientnet_lite0"]._replace(sha256="0" * 64)
    monkeypatch.setitem(imagenet.PACKAGES, "tf_efficientnet_lite0", tampered)
    with pytest.raises(WeightsError, match="not the weights that were published"):
        pretrained.make(folders, folders.read())
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]
