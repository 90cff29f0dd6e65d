"""Interrupted and damaged trainings end in the same bytes; another recipe is another training."""

import json
import signal

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.train.commands import prepare_pretrained, start, train, weights
from train.best import checkpoint_origin
from zoo.build import prepare
from zoo.kinds.classifier import Classifier
from zoo.models.weights import origin_of
from zoo.packaging import card
from zoo.study import Folders

pytestmark = pytest.mark.slow


def test_killed_and_run_again_it_ends_in_the_same_bytes(folders: Folders) -> None:
    train(folders, "staged")
    corrected = json.loads((folders.run("staged") / "scores.json").read_text())["calibration"]["prior_corrected"]
    # Balanced draws, and their classes' weights: what was seen is near a seventh each.
    assert list(corrected["seen"].values()) == pytest.approx([1 / 7] * 7, abs=0.12)
    counts = json.loads(folders.data.read_text())["counts"]["train"]
    assert list(corrected["natural"].values()) == pytest.approx(np.array(counts) / sum(counts), abs=1e-5)
    kill_and_train_again(folders, "staged")


def test_so_does_one_with_a_schedule_an_average_and_augmentation(folders: Folders) -> None:
    prepare_pretrained(folders)
    train(folders, "modern")
    kill_and_train_again(folders, "modern")


def kill_and_train_again(folders: Folders, name: str) -> None:
    uninterrupted = weights(folders, name)
    for file in folders.run(name).glob("[!ra]*.*"):
        file.unlink()
    for epoch in (1, 3):
        process = start(folders, name)
        assert process.stderr is not None
        with process:
            for line in process.stderr:
                if f"epoch  {epoch}/" in line:
                    process.send_signal(signal.SIGKILL)
                    break
    assert not (folders.run(name) / "weights.safetensors").exists()
    assert json.loads((folders.run(name) / "training.json").read_text())["seconds"] > 0
    assert f"{name}: goes on from epoch" in train(folders, name)
    assert weights(folders, name) == uninterrupted
    assert not list(folders.root.rglob("*.part")), "nothing half-written is left"


def test_killed_before_its_end_it_still_ends_in_the_same_bytes(folders: Folders) -> None:
    train(folders, "plain")
    run = folders.run("plain")
    before = {name: (run / name).read_bytes() for name in ("weights.safetensors", "scores.json", "predictions.csv")}
    for lost in (["weights.safetensors"], ["scores.json"], list(before)):
        for name in lost:
            (run / name).unlink()
        train(folders, "plain")
        assert {name: (run / name).read_bytes() for name in before} == before


def test_what_is_damaged_is_trained_again_into_the_same_bytes(folders: Folders) -> None:
    train(folders, "plain")
    run = folders.run("plain")
    before = {name: (run / name).read_bytes() for name in ("weights.safetensors", "scores.json", "predictions.csv")}
    for damaged in (
        ["weights.safetensors"],
        ["scores.json"],
        ["predictions.csv", "training.json"],
        ["weights.safetensors", "last.ckpt"],  # from the beginning
    ):
        for name in damaged:
            (run / name).write_bytes((run / name).read_bytes()[:1000])
        assert "Traceback" not in train(folders, "plain")
        assert {name: (run / name).read_bytes() for name in before} == before
        assert card.entry(folders, "plain")["versions"]["torch"], "it can be packed"


def test_scores_of_another_recipe_are_made_anew(folders: Folders) -> None:
    """A training killed between scores and weights, and its recipe then put back as it was."""
    train(folders, "plain")
    scores = folders.run("plain") / "scores.json"
    before = scores.read_bytes()
    scores.write_text(json.dumps(json.loads(before) | {"recipe_sha256": "0" * 64}))
    train(folders, "plain")
    assert scores.read_bytes() == before
    assert card.entry(folders, "plain"), "it can be packed"


def test_a_changed_recipe_does_not_go_on_from_the_old_checkpoint(folders: Folders) -> None:
    train(folders, "plain")
    run = folders.run("plain")
    first = weights(folders, "plain")
    old = checkpoint_origin(run / "last.ckpt")
    study = folders.read()
    faster = {"plain": Classifier(about="x", learning_rate=0.001)}
    prepare.write(folders, study, faster, prepare.resolve_recipes(study, prepare.make_data(folders, study), faster))
    assert "goes on" not in train(folders, "plain")
    assert weights(folders, "plain") != first
    assert checkpoint_origin(run / "last.ckpt") != old


def test_another_start_is_another_training(folders: Folders) -> None:
    prepare_pretrained(folders)
    train(folders, "pretrained", "child")
    first = weights(folders, "child")
    parent = folders.run("pretrained") / "weights.safetensors"
    tensors = {name: tensor + (tensor.is_floating_point()) * 0.01 for name, tensor in load_file(parent).items()}
    save_file(tensors, parent, {"origin": json.dumps(origin_of(parent))})
    train(folders, "child")
    assert weights(folders, "child") != first
