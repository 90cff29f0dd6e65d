"""Training: reproducible to the byte, also through kill -9; the best epoch is kept; and what cannot be is said."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import log_loss

from compare.records import record, recording
from lesions.labels import CLASSES
from train import source
from train.__main__ import main
from train.best import checkpoint_origin
from zoo.build import integrity, prepare
from zoo.entry import Classifier
from zoo.metrics.calibration import without_temperature
from zoo.metrics.scores import Predictions, reliability, score
from zoo.models import network
from zoo.packaging import card
from zoo.study import Folders, StudyError, settle

ROOT = Path(__file__).parents[2]
ENTRIES = {
    "plain": Classifier(about="x"),
    "staged": Classifier(
        about="x", sampling="balanced", epochs=25, draws=[(9000, 2), (5000, 2)], loss="weighted_cross_entropy"
    ),
    "pretrained": Classifier(about="x", weights="pretrained", normalise="weights"),
    "frozen": Classifier(about="x", weights="pretrained", trainable_tensors=2),
    "child": Classifier(about="x", parent="plain", epochs=5),
}


@pytest.fixture
def folders(tiny: Path, tmp_path: Path) -> Folders:
    """A study with its recipes, on a network that timm made for tests."""
    built = network.build("test_efficientnet")
    save_file({name: tensor.contiguous() for name, tensor in built.state_dict().items()}, tmp_path / "w.safetensors")
    given = {
        "data": str(tiny),
        "scale": "demo",
        "arch": "test_efficientnet",
        "weights": str(tmp_path / "w.safetensors"),
    }
    made, study = settle(given, "mine", tmp_path)
    prepare.write(made, study, ENTRIES, prepare.recipes(study, prepare.data(made, study), ENTRIES))
    return made


def start(folders: Folders, *entries: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "train", *entries, "--study", folders.name],
        cwd=folders.root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def train(folders: Folders, *entries: str) -> str:
    process = start(folders, *entries)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def weights(folders: Folders, entry: str) -> bytes:
    return (folders.run(entry) / "weights.safetensors").read_bytes()


def test_killed_and_run_again_it_ends_in_the_same_bytes(folders: Folders) -> None:
    train(folders, "staged")
    uninterrupted = weights(folders, "staged")
    corrected = json.loads((folders.run("staged") / "scores.json").read_text())["calibration"]["prior_corrected"]
    # Balanced draws, and their classes' weights: what was seen is near a seventh each.
    assert list(corrected["seen"].values()) == pytest.approx([1 / 7] * 7, abs=0.06)
    counts = json.loads(folders.described.read_text())["counts"]["train"]
    assert list(corrected["natural"].values()) == pytest.approx(np.array(counts) / sum(counts), abs=1e-5)
    for file in folders.run("staged").glob("[!ra]*.*"):
        file.unlink()
    for epoch in (1, 3):
        process = start(folders, "staged")
        assert process.stderr is not None
        with process:
            for line in process.stderr:
                if f"epoch  {epoch}/" in line:
                    process.send_signal(signal.SIGKILL)
                    break
    assert not (folders.run("staged") / "weights.safetensors").exists()
    assert "staged: goes on from epoch" in train(folders, "staged")
    assert weights(folders, "staged") == uninterrupted
    assert not list(folders.root.rglob("*.part")), "nothing half-written is left"


def test_everything_a_run_leaves(folders: Folders) -> None:
    train(folders, "source", "plain", "pretrained", "frozen", "child")
    run = folders.run("plain")
    report = json.loads((run / "scores.json").read_text())

    # The epoch that validates best was chosen, the earliest of equals.
    by_epoch = [epoch["valid_macro_f1"] for epoch in report["history"]]
    assert report["best_epoch"] == int(np.argmax(by_epoch)) + 1
    assert report["valid"]["macro_f1"] == pytest.approx(max(by_epoch), abs=1e-6)
    assert report["last_epoch"]["valid"]["macro_f1"] == pytest.approx(by_epoch[-1], abs=1e-6)

    # The predictions are of every validation and test image, and give the scores.
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folders.runs / "split.csv").open() as file:
        split = {row["image"]: row for row in csv.DictReader(file)}
    assert {row["image"] for row in rows} == {image for image, row in split.items() if row["part"] != "train"}
    test = [row for row in rows if row["part"] == "test"]
    again = score(
        Predictions(
            np.array([CLASSES.index(row["label"]) for row in test]),
            np.array([[float(row[name]) for name in CLASSES] for row in test]),
            [split[row["image"]]["lesion"] for row in test],
        )
    )
    assert again.confusion == report["test"]["confusion"]
    assert again.macro_f1 == pytest.approx(report["test"]["macro_f1"])
    assert list(again.macro_f1_interval) == pytest.approx(report["test"]["macro_f1_interval"])

    # They are calibrated: at the temperature, which was fitted on validation, their NLL there is the least.
    calibration = report["calibration"]
    valid = [row for row in rows if row["part"] == "valid"]
    told = np.array([[float(row[name]) for name in CLASSES] for row in valid])
    labels = np.array([CLASSES.index(row["label"]) for row in valid])
    lowest = [
        float(log_loss(labels, without_temperature(told, power), labels=range(len(CLASSES))))
        for power in (0.95, 1.0, 1.05)
    ]
    assert lowest[1] == min(lowest) == pytest.approx(report["valid"]["nll"], abs=1e-5)
    uncalibrated = reliability(labels, without_temperature(told, calibration["temperature"]))
    assert uncalibrated.nll == pytest.approx(calibration["uncalibrated"]["valid"]["nll"], abs=1e-3)
    assert uncalibrated.macro_f1 == pytest.approx(report["valid"]["macro_f1"], abs=1e-6)
    assert "prior_corrected" not in calibration  # the natural classes were drawn
    assert card.entry(folders, "plain")["calibration"] == calibration

    # They can be recorded, and the record read again.
    recorded = recording.record(folders, "plain", ENTRIES["plain"])
    assert isinstance(recorded, record.ClassifierRecord)
    assert recorded.test.model_dump(mode="json") == report["test"]
    assert record.load(record.save(folders.root / "results", recorded)).recipe == recorded.recipe

    # Frozen tensors stay what they were; only the classifier's two moved.
    begun, ended = (load_file(folders.run(name) / "weights.safetensors") for name in ("source", "frozen"))
    built = network.build("test_efficientnet")
    parameters = [name for name, _ in built.named_parameters()]
    assert parameters[-2:] == ["classifier.weight", "classifier.bias"]
    assert all(torch.equal(begun[name], ended[name]) for name in parameters[:-2])
    assert any(not torch.equal(begun[name], ended[name]) for name in begun if "running_mean" in name), (
        "batch norm moves"
    )

    # "normalise = weights" uses the statistics that timm names, the others those of the training split.
    own = json.loads((folders.run("pretrained") / "scores.json").read_text())["mean"]
    assert own == network.pretrained_statistics(built)[0]
    assert report["mean"] == json.loads((folders.runs / "data.json").read_text())["mean"]

    # A child goes on from its parent: one epoch in, it is nearer to it than random weights are.
    training = json.loads((run / "training.json").read_text())
    assert training["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert training["seconds"] > 0
    assert (run / "logs" / "csv" / "version_0" / "metrics.csv").is_file()
    assert list((run / "logs" / "tensorboard").rglob("events.out.tfevents.*"))


def test_siblings_that_are_left_out_are_neither_learned_nor_scored(tiny: Path, tmp_path: Path) -> None:
    given = {"data": str(tiny), "arch": "test_efficientnet", "scale": "demo", "weights": "procedural"}
    settled = settle(given | {"split": "thesis_without_siblings"}, "mine", tmp_path)
    described = prepare.data(*settled)
    made = prepare.recipes(settled[1], described, {"plain": Classifier(about="x")})
    prepare.write(*settled, {"plain": Classifier(about="x")}, made)
    assert sum(map(sum, described.counts.values())) == 350
    assert set(made.classifiers["plain"].draws) == {sum(described.counts["train"])}
    train(settled[0], "plain")
    with settled[0].split.open() as file:
        parts = {row["image"]: row["part"] for row in csv.DictReader(file)}
    assert list(parts.values()).count("left out") == sum(described.counts["left out"]) > 0
    with (settled[0].run("plain") / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == {"valid", "test"}
    assert {row["image"] for row in rows} == {image for image, part in parts.items() if part in ("valid", "test")}


def test_a_changed_recipe_does_not_go_on_from_the_old_checkpoint(folders: Folders) -> None:
    train(folders, "plain")
    run = folders.run("plain")
    first = weights(folders, "plain")
    old = checkpoint_origin(run / "last.ckpt")
    study = folders.read()
    faster = {"plain": Classifier(about="x", learning_rate=0.001)}
    prepare.write(folders, study, faster, prepare.recipes(study, prepare.data(folders, study), faster))
    assert "goes on" not in train(folders, "plain")
    assert weights(folders, "plain") != first
    assert checkpoint_origin(run / "last.ckpt") != old


def test_weights_of_another_network_are_refused_and_nothing_is_left(folders: Folders, tmp_path: Path) -> None:
    other = network.build("test_resnet")
    save_file({name: tensor.contiguous() for name, tensor in other.state_dict().items()}, tmp_path / "w.safetensors")
    process = start(folders, "source")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "the weights of another network" in said
    assert "Traceback" not in said
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]


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


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("plain/recipe.json", "recipe.json is damaged; `make zoo` writes it again"),
        ("data.json", "data.json is damaged; `make zoo` writes it again"),
        ("study.json", "study.json is damaged; delete it, and run `make zoo` again"),
        ("split.csv", "images or split are no longer those of its recipe; run `make zoo` again"),
        ("../../data/cache/*/index.csv", "the decoded images cannot be read"),
        ("../../data/cache/*/images.npy", "the decoded images cannot be read"),
        ("../../data/cache/*/store.json", "the decoded images cannot be read"),
    ],
)
def test_what_training_goes_by_is_damaged(
    file: str, said: str, folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [damaged] = folders.runs.glob(file)
    damaged.write_bytes(damaged.read_bytes()[:40])
    monkeypatch.chdir(folders.root)
    with pytest.raises(SystemExit) as ended:
        main(["plain"], folders.name)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_full_disk_under_the_source_is_said_in_a_line(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(source, "write", full)
    monkeypatch.chdir(folders.root)
    with pytest.raises(SystemExit) as ended:
        main(["source"], folders.name)
    assert ended.value.code == 2
    assert "weights.safetensors: No space left on device; with that mended, " in capsys.readouterr().err


def test_scores_of_another_recipe_are_made_anew(folders: Folders) -> None:
    """A training killed between scores and weights, and its recipe then put back as it was."""
    train(folders, "plain")
    scores = folders.run("plain") / "scores.json"
    before = scores.read_bytes()
    scores.write_text(json.dumps(json.loads(before) | {"recipe_sha256": "0" * 64}))
    train(folders, "plain")
    assert scores.read_bytes() == before
    assert card.entry(folders, "plain"), "it can be packed"


def test_another_start_is_another_training(folders: Folders) -> None:
    train(folders, "source", "plain", "child")
    first = weights(folders, "child")
    parent = folders.run("plain") / "weights.safetensors"
    tensors = {name: tensor + (tensor.is_floating_point()) * 0.01 for name, tensor in load_file(parent).items()}
    save_file(tensors, parent, {"origin": json.dumps(integrity.origin_of(parent))})
    train(folders, "child")
    assert weights(folders, "child") != first


def test_data_that_are_not_the_recipes_are_refused(folders: Folders) -> None:
    text = folders.split.read_text()
    folders.split.write_text(text.replace(",train\n", ",test\n", 1))
    process = start(folders, "plain")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "images or split are no longer those of its recipe; run `make zoo` again" in said


def test_scores_and_weights_of_another_recipe_are_not_archived(folders: Folders) -> None:
    train(folders, "plain")
    assert card.entry(folders, "plain")["recipe"]["learning_rate"] == 3e-4
    study = folders.read()
    faster = {"plain": Classifier(about="x", learning_rate=0.001)}
    prepare.write(folders, study, faster, prepare.recipes(study, prepare.data(folders, study), faster))
    with pytest.raises(StudyError, match="recipe, weights and scores do not belong together"):
        card.entry(folders, "plain")


def test_without_a_network_imagenet_says_what_to_do(tiny: Path, tmp_path: Path) -> None:
    given = {"data": str(tiny), "scale": "demo", "arch": "mobilenetv2_100", "weights": "imagenet"}
    folders, study = settle(given, "hub", tmp_path)
    prepare.write(folders, study, ENTRIES, prepare.recipes(study, prepare.data(folders, study), ENTRIES))
    process = subprocess.run(
        [sys.executable, "-m", "train", "source", "--study", "hub"],
        cwd=tmp_path,
        # A hub that refuses every connection, whatever network the machine has.
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 2
    assert "WEIGHTS=imagenet: timm's hub did not give the weights of mobilenetv2_100" in process.stderr
    assert "WEIGHTS=procedural" in process.stderr
    assert "Traceback" not in process.stderr
    assert [file.name for file in folders.run("source").iterdir()] == ["recipe.json"]


def test_an_entry_without_a_recipe_is_named(folders: Folders) -> None:
    process = start(folders, "nobody")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "nobody has no recipe in study 'mine'" in said
