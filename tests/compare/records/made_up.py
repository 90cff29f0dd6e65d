"""Records of trainings that never were: probabilities drawn here, so that what should be found in them is known."""

from pathlib import Path
from typing import Any

import numpy as np

from compare.records.record import AnyRecord, ClassifierRecord, GeneratorRecord, Settings, Tested, save
from lesions.labels import CLASSES
from zoo import generator_recipe, recipe
from zoo.build.listing import describe_options
from zoo.entry import Classifier, Generator, catalog
from zoo.metrics.scores import Predictions, Scores, score
from zoo.recipe import Data, Pool
from zoo.study import Study

EACH = (20, 20, 40, 20, 40, 120, 20)
"""Test images of each class; every fourth lesion has two."""

STUDY = Study(data="/ham10000", scale="small", weights="/w.safetensors", arch="mobilenetv2_100")

_SCORED: dict[tuple[object, ...], Scores] = {}


def classifier(
    name: str, skill: float, study: Study = STUDY, each: tuple[int, ...] = EACH, rare: float = 0.0, **other: Any
) -> ClassifierRecord:
    """The record of an entry of the catalog that names each image rightly with a probability of `skill`.

    Rare classes have `rare` more. Of two entries the one with more skill is right wherever the other is. With the
    thesis's split, or that without siblings, every third lesion has a sibling, and `siblings` is the skill there.
    """
    entry = catalog()[name]
    assert isinstance(entry, Classifier)
    labels = np.repeat(np.arange(7), each)
    lesions = [f"HAM_{k - (k % 4 == 1):07}" for k in range(len(labels))]
    leaks = study.split != "lesion"
    sibling = np.array([leaks and int(lesion[4:]) % 3 == 0 for lesion in lesions])
    chance = np.random.default_rng(1).random(len(labels))
    needed = skill + rare * np.isin(labels, [0, 1, 3, 6])
    needed = np.where(sibling, other.pop("siblings", needed), needed)
    said = np.where(chance < needed, labels, (labels + 1 + (chance * 1000).astype(int) % 6) % 7)
    told = np.full((len(labels), 7), 0.05)
    told[np.arange(len(labels)), said] = 0.7
    key = (tuple(labels), told.tobytes())
    if key not in _SCORED:
        _SCORED[key] = score(Predictions(labels, told, lesions))
    data = _data(study)
    sagan = catalog()["sagan"]
    assert isinstance(sagan, Generator)
    drawn = generator_recipe.resolve("sagan", sagan, study, data, "imagenet")
    parent = None
    if entry.parent is not None:
        parent = classifier(entry.parent, skill, study, each).recipe
    pool = Pool(drawn.sha256, list(drawn.pool.values())) if entry.generator else None
    known: dict[str, Any] = {
        "recipe": recipe.resolve(name, entry, study, data, "w.safetensors", parent, pool),
        "counts": data.counts,
        "best_epoch": 7,
        "valid": _SCORED[key],
        "test": _SCORED[key],
        "last_valid": _SCORED[key],
        "last_test": _SCORED[key],
        "calibration": None,
        "images": [
            Tested(f"ISIC_{k:07}", lesions[k], CLASSES[labels[k]], bool(sibling[k]), told[k].tolist())
            for k in range(len(labels))
        ],
    }
    return ClassifierRecord(**_origin(name, entry, study), **(known | other))


def generator(name: str, study: Study = STUDY) -> GeneratorRecord:
    """The record of a generator of the catalog."""
    entry = catalog()[name]
    assert isinstance(entry, Generator)
    measures = ("kid", "frechet", "precision", "recall", "density", "coverage")
    good, bad = ({key: value for key in measures} | {"step": 500} for value in (0.5, 0.25))
    return GeneratorRecord(
        **_origin(name, entry, study),
        recipe=generator_recipe.resolve(name, entry, study, _data(study), "imagenet"),
        features="mobilenetv2_100, frozen",
        precision="fp32",
        steps=3000,
        failed=False,
        best_step=500,
        floor=dict.fromkeys(measures, 0.011),
        best=good,
        last=bad,
        distance_to_training=dict.fromkeys(CLASSES, 1.2),
    )


def written(root: Path, *made: AnyRecord) -> list[Path]:
    """Write records below `root`, as the command does."""
    return [save(root / "docs" / "results", one) for one in made]


def _data(study: Study) -> Data:
    train = [100] * 7 if study.split == "lesion" else [90 + 9 * (study.split == "thesis")] * 7
    counts = {"train": train, "valid": list(EACH), "test": list(EACH)}
    split_sha256 = {"lesion": "1", "thesis": "2"}.get(study.split, "3") * 64
    return Data(store_sha256="0" * 64, split_sha256=split_sha256, counts=counts, mean=[0.5] * 3, std=[0.1] * 3)


def _origin(name: str, entry: Classifier | Generator, study: Study) -> dict[str, Any]:
    own = {"data": study.data_name, "weights": Path(study.weights).name}
    return {
        "entry": name,
        "study": study.name,
        "settings": Settings.model_validate(study.model_dump() | own),
        "about": entry.about,
        "differs": describe_options(entry),
        "thesis": entry.thesis,
        "commit": "0123456789abcdef",
        "versions": {"python": "3.11", "torch": "2"},
        "hardware": "a machine",
        "seconds": 600.0,
        "weights_sha256": "5" * 64,
        "data_licence": "CC BY-NC 4.0",
    }
