"""Synthetic images in training: which are drawn, and the classification accuracy score of a pool."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gan import pool
from gan.networks import Generator
from gan.snapshot import tensors
from lesions import split, store
from lesions.labels import CLASSES
from tests.networks import save_network
from train.data import LesionDataModule
from train.fit import fit
from zoo.build import prepare
from zoo.kinds import Entry
from zoo.kinds.classifier import Classifier, ClassifierRecipe
from zoo.kinds.generator import Generator as GeneratorEntry
from zoo.kinds.generator import GeneratorRecipe
from zoo.study import Folders, settle

ENTRIES: dict[str, Entry] = {
    "drawer": GeneratorEntry(kind="generator", about="x", width=16, pool=6000),
    "filled_up": Classifier(about="x", generator="drawer", fill_up=[(900, 5), (600, 5)], epochs=15),
    "pool_alone": Classifier(about="x", generator="drawer", real=False),
}


@pytest.fixture
def folders(tiny: Path, tmp_path: Path) -> Folders:
    """A study whose generator has random weights and a pool."""
    torch.manual_seed(0)
    weights = save_network("test_efficientnet", tmp_path / "w.safetensors")
    settings = {"data": str(tiny), "scale": "demo", "arch": "test_efficientnet", "weights": str(weights)}
    folders, study = settle(settings, "mine", tmp_path)
    resolved = prepare.resolve_recipes(study, prepare.make_data(folders, study), ENTRIES)
    prepare.write(folders, study, ENTRIES, resolved)
    drawer = resolved["drawer"]
    assert isinstance(drawer, GeneratorRecipe)
    untrained = Generator(drawer.pixels, drawer.width, spectral_norm=False)
    save_file(tensors(untrained), folders.run("drawer") / "weights.safetensors")
    threads = torch.get_num_threads()
    pool.make(folders, "drawer")
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    return folders


def splits(folders: Folders, name: str) -> LesionDataModule:
    study = folders.read()
    real = store.load(folders.store(study))
    return LesionDataModule(
        ClassifierRecipe.read(folders.run(name) / "recipe.json"),
        real,
        split.read(folders.split, real.index.images),
        store.load(folders.pool("drawer", study)),
    )


def test_a_pool_alone_trains_on_no_real_image(folders: Folders) -> None:
    data = splits(folders, "pool_alone")
    drawn = data.positions_of_epoch(0)
    assert len(drawn) == len(data.pool.index) == sum(data.recipe.draws[:1])  # type: ignore[union-attr]
    assert drawn.min() >= len(data.store.index)
    assert set(data.positions(1)) <= set(range(len(data.store.index))), "validation images are real"


def test_filling_up_adds_to_the_real_ones_of_training(folders: Folders) -> None:
    data = splits(folders, "filled_up")
    for epoch, target in enumerate(data.recipe.fill_up):
        drawn = data.positions_of_epoch(epoch)
        real = drawn[drawn < len(data.store.index)]
        assert set(real) == set(data.positions(0))
        expected = np.maximum(np.bincount(data.labels[data.positions(0)], minlength=len(CLASSES)), target or 0)
        assert np.bincount(data.labels[drawn], minlength=len(CLASSES)).tolist() == expected.tolist()


@pytest.mark.slow
def test_the_classification_accuracy_score_is_that_of_real_images(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(folders, "pool_alone")
    run = folders.run("pool_alone")
    report = json.loads((run / "scores.json").read_text())
    data = splits(folders, "pool_alone")
    lines = (run / "predictions.csv").read_text().splitlines()[1:]
    real = set(data.store.index.images)
    assert {line.split(",")[0] for line in lines} <= real
    assert 0 <= report["test"]["macro_f1"] <= 1

    # The same pool trains nothing anew, another one does; what an earlier version trained stays.
    def trains(**changed: str | None) -> bool:
        scores = report | changed
        (run / "scores.json").write_text(json.dumps({key: value for key, value in scores.items() if value}))
        capsys.readouterr()
        fit(folders, "pool_alone")
        return "trained by this recipe already" not in capsys.readouterr().out

    assert not trains()
    assert not trains(pool_sha256=None)
    assert trains(pool_sha256="another")
    assert json.loads((run / "scores.json").read_text())["pool_sha256"] == report["pool_sha256"]
