"""A whole training: the best epoch is kept, and everything that it leaves belongs together."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import log_loss

from compare.records import record, recording
from lesions import store
from lesions.labels import CLASSES
from tests.train.commands import ENTRIES, prepare_pretrained, train
from train import fit
from train.best import BestEpoch
from train.fit import TrainingError
from train.module import ClassifierModule
from zoo.build import prepare
from zoo.kinds.classifier import Classifier, ClassifierRecipe
from zoo.metrics.calibration import without_temperature
from zoo.metrics.scores import Predictions, reliability, score
from zoo.models import network
from zoo.models.predictor import Predictor
from zoo.packaging import card
from zoo.study import Folders, settle

pytestmark = pytest.mark.slow


def test_everything_a_run_leaves(folders: Folders) -> None:
    prepare_pretrained(folders)
    train(folders, "plain", "pretrained", "frozen", "child", "same")
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
    probabilities = np.array([[float(row[name]) for name in CLASSES] for row in valid])
    labels = np.array([CLASSES.index(row["label"]) for row in valid])
    lowest = [
        float(log_loss(labels, without_temperature(probabilities, power), labels=range(len(CLASSES))))
        for power in (0.95, 1.0, 1.05)
    ]
    assert lowest[1] == min(lowest) == pytest.approx(report["valid"]["nll"], abs=1e-5)
    uncalibrated = reliability(labels, without_temperature(probabilities, calibration["temperature"]))
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
    for name in ("child", "same"):  # what a parent learned with
        assert json.loads((folders.run(name) / "scores.json").read_text())["mean"] == own
    assert report["mean"] == json.loads((folders.runs / "data.json").read_text())["mean"]

    # A child goes on from its parent: it stays near to it, and far from what random weights with its seed became.
    child, parent, other = (
        load_file(folders.run(name) / "weights.safetensors") for name in ("child", "pretrained", "plain")
    )
    kernels = [name for name, parameter in built.named_parameters() if parameter.ndim == 4]

    def distance(these: dict[str, torch.Tensor], those: dict[str, torch.Tensor]) -> float:
        return float(sum(float((these[name] - those[name]).square().sum()) for name in kernels) ** 0.5)

    assert 0 < distance(child, parent) < 0.1 * distance(child, other)

    training = json.loads((run / "training.json").read_text())
    assert training["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert training["seconds"] > 0
    assert (run / "logs" / "csv" / "version_0" / "metrics.csv").is_file()
    assert list((run / "logs" / "tensorboard").rglob("events.out.tfevents.*"))


def test_dropout_and_which_epoch_is_kept_are_the_recipe_s(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    kept: list[str] = []
    original = network.build

    def build(*arguments: Any, **options: Any) -> Any:
        built.append(original(*arguments, **options))
        return built[-1]

    def best_epoch(origin: Any, checkpoint: Any, keep: Any) -> Any:
        kept.append(keep)
        return BestEpoch(origin, checkpoint, keep)

    monkeypatch.setattr(network, "build", build)
    monkeypatch.setattr(fit, "BestEpoch", best_epoch)
    prepare_pretrained(folders)
    train(folders, "plain", "modern")
    assert 0.2 in {one.drop_rate for one in built}
    assert kept == ["best", "last"]
    report = json.loads((folders.run("modern") / "scores.json").read_text())
    assert report["best_epoch"] == len(report["history"])
    # What is validated is what is kept, the average.
    assert report["valid"]["macro_f1"] == pytest.approx(report["history"][-1]["valid_macro_f1"], abs=1e-6)


def spoil(monkeypatch: pytest.MonkeyPatch, epoch: int, value: float) -> None:
    """Let all weights become `value` when an epoch (from 0) begins."""

    def begin(module: ClassifierModule) -> None:
        if module.current_epoch == epoch:
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.fill_(value)

    monkeypatch.setattr(ClassifierModule, "on_train_epoch_start", begin)


def test_the_best_epoch_is_what_is_served(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ClassifierRecipe.read(folders.run("plain") / "recipe.json")
    spoil(monkeypatch, recipe.epochs - 1, 0.0)
    train(folders, "plain")
    run = folders.run("plain")
    report = json.loads((run / "scores.json").read_text())
    assert report["best_epoch"] < recipe.epochs
    assert report["last_epoch"]["valid"]["macro_f1"] < report["valid"]["macro_f1"]
    built = network.build("test_efficientnet")
    network.load(built, run / "weights.safetensors")
    index, images = store.load(folders.store(folders.read())).index, store.load(folders.store(folders.read())).images
    values = network.logits(built, images[:50], report["mean"], report["deviation"])
    expected = torch.softmax(torch.from_numpy(values / report["calibration"]["temperature"]), dim=1).numpy()
    predictor = Predictor((run / "model.onnx").read_bytes(), recipe.pixels, len(CLASSES))
    assert len(index.images) > 50
    assert predictor.probabilities(images[:50]) == pytest.approx(expected, abs=1e-4)


def test_a_loss_that_is_no_number_ends_the_training(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 1, float("nan"))
    for _ in range(2):  # again, from the checkpoint of the first epoch
        with pytest.raises(TrainingError, match="plain: in epoch 2 the loss is no number any more: choose a lower"):
            train(folders, "plain")
    assert not (folders.run("plain") / "weights.safetensors").exists()


def test_a_class_that_is_not_drawn_can_have_no_weight(folders: Folders) -> None:
    study = folders.read()
    few = {"few": Classifier(about="x", sampling="balanced", draws=100, loss="weighted_cross_entropy")}
    prepare.write(folders, study, few, prepare.resolve_recipes(study, prepare.make_data(folders, study), few))
    with pytest.raises(TrainingError, match=r"few: of .* no image is drawn, so there is no weight for it: more draws"):
        train(folders, "few")


def test_a_run_killed_while_it_is_written_has_no_weights(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    train(folders, "plain")
    weights = folders.run("plain") / "weights.safetensors"
    begun = weights.read_bytes()

    def killed(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.fit.integrity.is_complete", lambda *_: False)  # as when a pool was drawn anew
    with monkeypatch.context() as patched:
        patched.setattr("train.score.save", killed)  # after the scores, before the weights
        with pytest.raises(KeyboardInterrupt):
            train(folders, "plain")
    assert not weights.exists()
    train(folders, "plain")
    assert weights.read_bytes() == begun


def test_siblings_that_are_left_out_are_neither_learned_nor_scored(tiny: Path, tmp_path: Path) -> None:
    settings = {"data": str(tiny), "arch": "test_efficientnet", "scale": "demo", "weights": "imagenet"}
    settled = settle(settings | {"split": "thesis_without_siblings"}, "mine", tmp_path)
    described = prepare.make_data(*settled)
    recipes = prepare.resolve_recipes(settled[1], described, {"plain": Classifier(about="x")})
    prepare.write(*settled, {"plain": Classifier(about="x")}, recipes)
    assert sum(map(sum, described.counts.values())) == 350
    recipe = recipes["plain"]
    assert isinstance(recipe, ClassifierRecipe)
    assert set(recipe.draws) == {sum(described.counts["train"])}
    train(settled[0], "plain")
    with settled[0].split.open() as file:
        parts = {row["image"]: row["part"] for row in csv.DictReader(file)}
    assert list(parts.values()).count("left out") == sum(described.counts["left out"]) > 0
    with (settled[0].run("plain") / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == {"valid", "test"}
    assert {row["image"] for row in rows} == {image for image, part in parts.items() if part in ("valid", "test")}
