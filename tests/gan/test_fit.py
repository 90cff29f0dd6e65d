"""Training is reproducible to the byte, also after kill -9; its files; and its error messages."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compare.records import record, recording
from gan import fit
from gan.__main__ import main
from gan.data import Images
from gan.drawing import draw
from gan.quality import Quality, QualityEvaluator
from gan.snapshot import restored
from gan.trainer import GANTrainer, StepMetrics
from lesions.labels import CLASSES
from zoo.kinds.generator import Generator, GeneratorRecipe
from zoo.study import Folders, StudyError

ROOT = Path(__file__).parents[2]


def start(folders: Folders, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gan", *words, "--study", folders.name],
        cwd=folders.root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LESION_ZOO_ROOT": str(folders.root), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything", "projected"])
def test_killed_and_run_again_it_ends_in_the_same_bytes(
    name: str, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folders.run(name)
    fit.fit(folders, name)
    uninterrupted = {file: (run / file).read_bytes() for file in ("weights.safetensors", "last.safetensors")}
    report = json.loads((run / "scores.json").read_text())
    capsys.readouterr()

    fit.fit(folders, name)
    assert "trained by this recipe already" in capsys.readouterr().out

    recipe = (run / "recipe.json").read_text()
    shutil.rmtree(run)
    run.mkdir()
    (run / "recipe.json").write_text(recipe)
    with start(folders, name) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step     4/12" in line:
                process.send_signal(signal.SIGKILL)
                break
    assert not (run / "weights.safetensors").exists()
    killed = json.loads((run / "training.json").read_text())["seconds"]
    assert killed > 0
    fit.fit(folders, name)
    assert json.loads((run / "training.json").read_text())["seconds"] > killed
    assert f"{name}: goes on from step" in capsys.readouterr().err
    assert {file: (run / file).read_bytes() for file in uninterrupted} == uninterrupted
    assert json.loads((run / "scores.json").read_text()) == report
    assert not list(run.rglob("*.part")), "nothing half-written is left"


@pytest.mark.slow
def test_tensorboard_keeps_what_was_measured_before_an_interruption(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = GANTrainer.step

    def interrupted(trainer: GANTrainer, number: int, batch: Images) -> StepMetrics:
        if number == 8:
            raise KeyboardInterrupt
        return step(trainer, number, batch)

    monkeypatch.setattr(GANTrainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(folders, "plain")
    monkeypatch.setattr(GANTrainer, "step", step)
    fit.fit(folders, "plain")
    events = EventAccumulator(str(folders.run("plain") / "logs" / "tensorboard")).Reload()
    assert [scalar.step for scalar in events.Scalars("quality/kid")] == [4, 8, 12]


@pytest.mark.slow
def test_a_recipe_that_changes_in_training_is_an_error_and_leaves_no_canvas_of_the_old_one(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step = folders.run("plain"), GANTrainer.step
    recipe = GeneratorRecipe.read(run / "recipe.json")

    def change(trainer: GANTrainer, number: int, batch: Images) -> StepMetrics:
        (run / "recipe.json").write_text(recipe.model_copy(update={"canvas_every": 8}).text)
        return step(trainer, number, batch)

    monkeypatch.setattr(GANTrainer, "step", change)
    with pytest.raises(StudyError, match="plain: its recipe was changed while it trained; run `make zoo` again"):
        fit.fit(folders, "plain")
    assert not (run / "weights.safetensors").exists()
    monkeypatch.setattr(GANTrainer, "step", step)
    fit.fit(folders, "plain")
    assert sorted(file.name for file in (run / "canvas").iterdir()) == ["step_0000008.png", "step_0000012.png"]


@pytest.mark.slow
def test_gan_train_chooses_where_the_recipe_says_so(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"kid": [0.1, 0.2, 0.3], "gan_train": [0.3, 0.5, 0.5], "recall": [0.5, 0.01, 0.0]}
    measured = QualityEvaluator.measure
    calls = iter(range(3))

    def measure(evaluator: QualityEvaluator, generator: Any) -> Quality:
        number = next(calls)
        update = {key: of_key[number] for key, of_key in values.items()}
        return measured(evaluator, generator).model_copy(update=update)

    monkeypatch.setattr(QualityEvaluator, "measure", measure)
    fit.fit(folders, "projected")
    report = json.loads((folders.run("projected") / "scores.json").read_text())
    assert (report["best_step"], report["best_by"]) == (8, "gan_train"), "the earliest of equals"
    lines = capsys.readouterr().err
    assert "KID 0.200  recall 0.01  coverage" in lines
    assert "GAN-train 0.50" in lines
    assert lines.count("warning: recall is below 0.02") == 1


@pytest.mark.slow
def test_the_files_of_a_run(folders: Folders, tmp_path: Path) -> None:
    fit.fit(folders, "plain")
    run = folders.run("plain")
    report = json.loads((run / "scores.json").read_text())

    # The run can be recorded, and the record can be read.
    (run / "about.json").write_text(json.dumps({"kind": "generator", "about": "x", "thesis": None}))
    recorded = recording.record(folders, "plain", Generator(kind="generator", about="x"))
    assert isinstance(recorded, record.GeneratorRecord)
    assert (recorded.best, recorded.floor) == (report["best"], report["floor"])
    assert record.load(record.save(tmp_path / "results", recorded)).recipe == recorded.recipe
    assert [row["step"] for row in report["history"]] == [4, 8, 12]
    best = min(report["history"], key=lambda row: row["kid"])
    assert report["best"] == best
    assert report["best_step"] == best["step"]
    assert report["last"]["step"] == 12
    assert set(report["distance_to_training"]) == set(CLASSES)
    assert report["features"] == "test_efficientnet, frozen, weights: imagenet"

    # The canvas shows what the weights draw.
    generator = restored(load_file(run / "weights.safetensors"), 32, 2)
    with Image.open(run / "canvas.png") as canvas:
        assert canvas.size == (10 * 32, 7 * 32)
        corner = canvas.crop((0, 3 * 32, 32, 4 * 32))
    recipe = GeneratorRecipe.read(run / "recipe.json")
    (first,) = draw(generator, torch.tensor([3]), recipe.seed)
    assert corner.tobytes() == first[0].numpy().tobytes()

    names = [file.name for file in sorted((run / "canvas").iterdir())]
    assert names == [f"step_{step:07}.png" for step in (3, 6, 9, 12)]
    with Image.open(run / "neighbors.png") as picture:
        assert picture.size == (8 * 32, 14 * 32)
    with (run / "losses.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "10"
    assert set(row) == {"step", *StepMetrics._fields}
    with (run / "quality.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4", "8", "12"]
    assert list((run / "logs" / "tensorboard").glob("events.out.tfevents.*"))
    assert json.loads((run / "training.json").read_text())["seconds"] > 0


@pytest.mark.slow
def test_a_damaged_run_is_trained_again_into_the_same_bytes(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.fit(folders, "plain")
    run = folders.run("plain")
    before = {name: (run / name).read_bytes() for name in ("weights.safetensors", "scores.json")}

    def fit_again() -> None:
        fit.fit(folders, "plain")
        assert {name: (run / name).read_bytes() for name in before} == before
        assert json.loads((run / "training.json").read_text())["seconds"] > 0

    for damaged in (["weights.safetensors", "training.json"], ["scores.json"], ["weights.safetensors", "last.ckpt"]):
        for name in damaged:
            (run / name).write_bytes((run / name).read_bytes()[:200])
        fit_again()

    # A checkpoint of an older version, which has other keys, is no better than a damaged one.
    state = torch.load(run / "last.ckpt", weights_only=True)
    optimizers = state["trainer"].pop("optimizers")
    torch.save(state | {"trainer": state["trainer"] | {"optimisers": optimizers}}, run / "last.ckpt")
    (run / "weights.safetensors").unlink()
    capsys.readouterr()
    fit_again()
    assert "goes on from step" not in capsys.readouterr().err

    (run / "weights.safetensors").write_bytes(before["weights.safetensors"][:-1])
    monkeypatch.chdir(folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(folders.root))
    with pytest.raises(SystemExit) as exit_:
        main(["pool", "plain"], "mine")
    assert exit_.value.code == 2
    assert "weights.safetensors cannot be read (" in capsys.readouterr().err


@pytest.mark.slow
def test_scores_of_another_recipe_are_computed_again(folders: Folders) -> None:
    fit.fit(folders, "plain")
    scores = folders.run("plain") / "scores.json"
    before = scores.read_bytes()
    scores.write_text(json.dumps(json.loads(before) | {"recipe_sha256": "0" * 64}))
    fit.fit(folders, "plain")
    assert scores.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("plain/recipe.json", "recipe.json is damaged; `make zoo` writes it again"),
        ("source/weights.safetensors", "not a readable safetensors file"),
        ("split.csv", "images or split are no longer those of its recipe; run `make zoo` again"),
        ("../../data/cache/*/images.npy", "the decoded images cannot be read"),
    ],
)
def test_a_damaged_input_is_named(
    file: str, message: str, folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [damaged] = folders.runs.glob(file)
    damaged.write_bytes(damaged.read_bytes()[:40])
    monkeypatch.chdir(folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(folders.root))
    with pytest.raises(SystemExit) as exit_:
        main(["plain"], "mine")
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_that_diverges_ends_with_the_best_so_far(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = GANTrainer.step

    def diverging_step(trainer: GANTrainer, number: int, batch: Images) -> StepMetrics:
        step_metrics = step(trainer, number, batch)
        return step_metrics._replace(generator=float("nan")) if number >= limit else step_metrics

    monkeypatch.setattr(GANTrainer, "step", diverging_step)
    limit = 6
    fit.fit(folders, "plain")
    assert "warning: the losses are no numbers any more" in capsys.readouterr().err
    report = json.loads((folders.run("plain") / "scores.json").read_text())
    assert report["failed"]
    assert report["best_step"] == 4
    last = (folders.run("plain") / "losses.csv").read_text().splitlines()[-1]
    assert last.startswith("7,")
    assert "nan" in last
    assert (folders.run("plain") / "weights.safetensors").is_file()

    limit = 2
    with pytest.raises(fit.Diverged, match="no numbers at step 3"):
        fit.fit(folders, "everything")
    assert not (folders.run("everything") / "weights.safetensors").exists()
