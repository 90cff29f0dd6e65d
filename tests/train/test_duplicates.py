"""Copies of real images fill up classes: each image equally often, in the eight positions of a square."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lesions import split, store
from tests.train.commands import train
from train.data import LesionDataModule, StoreDataset
from train.sampling import duplicates, turn
from zoo.kinds.classifier import ClassifierRecipe
from zoo.models.views import POSITIONS
from zoo.study import Folders

LABELS: NDArray[np.int64] = np.repeat([0, 1, 2], [3, 10, 40])


def test_classes_are_filled_up_evenly() -> None:
    copies, turns = duplicates(LABELS, 40, seed=0, stage=0)
    assert np.bincount(LABELS[copies], minlength=3).tolist() == [37, 30, 0]
    times = np.bincount(copies, minlength=len(LABELS))
    assert sorted(times[:3]) == [12, 12, 13]
    assert set(times[3:13]) == {3}
    assert set(turns) == set(range(POSITIONS))
    assert duplicates(LABELS, 3, seed=0, stage=0)[0].size == 0
    again, other = duplicates(LABELS, 40, 0, 0), duplicates(LABELS, 40, 0, 1)
    assert np.array_equal(again[0], copies)
    assert np.array_equal(again[1], turns)
    assert not np.array_equal(other[1], turns)


def test_the_eight_positions_are_different_and_keep_the_pixels() -> None:
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    turned = [turn(image, position) for position in range(POSITIONS)]
    assert np.array_equal(turned[0], image)
    assert len({each.tobytes() for each in turned}) == POSITIONS
    assert all(sorted(map(bytes, each.reshape(9, 3))) == sorted(map(bytes, image.reshape(9, 3))) for each in turned)


@pytest.fixture
def data(folders: Folders) -> LesionDataModule:
    recipe = ClassifierRecipe.read(folders.run("duplicates") / "recipe.json")
    images = store.load(folders.store(folders.read()))
    return LesionDataModule(recipe, images, split.read(folders.split, images.index.images))


def test_an_epoch_draws_them_with_their_classes_and_turned(data: LesionDataModule) -> None:
    filled, after = data.positions_of_epoch(0), data.positions_of_epoch(data.recipe.epochs - 1)
    target = data.recipe.fill_up[0]
    counts = np.bincount(data.labels_of(filled), minlength=7)
    natural = np.bincount(data.labels[data.positions(0)], minlength=7)
    assert counts.tolist() == np.maximum(natural, target).tolist()
    assert len(filled) == data.recipe.draws[0]
    assert sorted(after) == data.positions(0).tolist(), "when the stages are over, real images alone"
    dataset = StoreDataset(data.stores, filled)
    items = np.flatnonzero(filled >= data.total)[:16].tolist()
    pixels, labels = dataset.__getitems__(items)
    for image, label, position in zip(pixels.numpy(), labels.tolist(), filled[items].tolist(), strict=True):
        place, original = divmod(position, data.total)
        assert np.array_equal(image, turn(data.store.images[original], place))
        assert label == data.store.index.labels[original]
        assert data.parts[original] == 0, "of a training image"


@pytest.mark.slow
def test_it_trains(folders: Folders) -> None:
    train(folders, "duplicates")
    assert (folders.run("duplicates") / "weights.safetensors").is_file()
