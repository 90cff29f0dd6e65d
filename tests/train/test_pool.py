"""Synthetic images in training: which are drawn, and the classification accuracy score, of the pool alone."""

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
from train.data import LesionDataModule
from train.fit import fit
from zoo import entry, recipe
from zoo.build import prepare
from zoo.models import network
from zoo.study import Folders, settle

ENTRIES: dict[str, entry.Entry] = {
    "drawer": entry.Generator(kind="generator", about="x", width=16, pool=6000),
    "filled_up": entry.Classifier(about="x", generator="drawer", fill_up=[(900, 5), (600, 5)], epochs=15),
    "pool_alone": entry.Classifier(about="x", generator="drawer", real=False),
}


@pytest.fixture
def folders(tiny: Path, tmp_path: Path) -> Folders:
    """A study whose generator has random weights and a pool."""
    torch.manual_seed(0)
    built = network.build("test_efficientnet")
    weights = tmp_path / "w.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in built.state_dict().items()}, weights)
    given = {"data": str(tiny), "scale": "demo", "arch": "test_efficientnet", "weights": str(weights)}
    made, study = settle(given, "mine", tmp_path)
    resolved = prepare.recipes(study, prepare.data(made, study), ENTRIES)
    prepare.write(made, study, ENTRIES, resolved)
    drawer = resolved.generators["drawer"]
    untrained = Generator(drawer.pixels, drawer.width, spectral_norm=False)
    save_file(tensors(untrained), made.run("drawer") / "weights.safetensors")
    threads = torch.get_num_threads()
    pool.make(made, "drawer")
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    return made


def splits(folders: Folders, name: str) -> LesionDataModule:
    study = folders.read()
    real = store.load(folders.store(study))
    return LesionDataModule(
        recipe.read(folders.run(name) / "recipe.json"),
        real,
        split.read(folders.split, real.index.images),
        store.load(folders.pool("drawer", study)),
    )


def test_a_pool_alone_trains_on_no_real_image(folders: Folders) -> None:
    found = splits(folders, "pool_alone")
    drawn = found.drawn(0)
    assert len(drawn) == len(found.pool.index) == sum(found.recipe.draws[:1])  # type: ignore[union-attr]
    assert drawn.min() >= len(found.store.index)
    assert set(found.positions(1)) <= set(range(len(found.store.index))), "validation images are real"


def test_filling_up_adds_to_the_real_ones_of_training(folders: Folders) -> None:
    found = splits(folders, "filled_up")
    for epoch, target in enumerate(found.recipe.fill_up):
        drawn = found.drawn(epoch)
        real = drawn[drawn < len(found.store.index)]
        assert set(real) == set(found.positions(0))
        wanted = np.maximum(np.bincount(found.labels[found.positions(0)], minlength=len(CLASSES)), target or 0)
        assert np.bincount(found.labels[drawn], minlength=len(CLASSES)).tolist() == wanted.tolist()


def test_the_classification_accuracy_score_is_that_of_real_images(folders: Folders) -> None:
    fit(folders, "pool_alone")
    run = folders.run("pool_alone")
    report = json.loads((run / "scores.json").read_text())
    found = splits(folders, "pool_alone")
    lines = (run / "predictions.csv").read_text().splitlines()[1:]
    real = set(found.store.index.images)
    assert {line.split(",")[0] for line in lines} <= real
    assert 0 <= report["test"]["macro_f1"] <= 1
