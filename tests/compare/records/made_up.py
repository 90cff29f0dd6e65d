"""Records of trainings that never ran: probabilities are drawn here, so that the effects are known."""

from pathlib import Path
from typing import Any

import numpy as np

from compare.records.record import AnyRecord, ClassifierRecord, GeneratorRecord, ImageRecord, Settings, save
from lesions.labels import CLASSES
from zoo.build.listing import describe_options
from zoo.entry import catalog
from zoo.kinds import classifier as classifier_kind
from zoo.kinds import generator as generator_kind
from zoo.kinds.base import Context, Data, Pretrained
from zoo.kinds.classifier import Classifier
from zoo.kinds.generator import Generator
from zoo.metrics import challenge, malignancy
from zoo.metrics.bootstrap import Resamples
from zoo.metrics.scores import Predictions, score
from zoo.study import Study

EACH = (20, 20, 40, 20, 40, 120, 20)
"""Test images of each class; every fourth lesion has two."""

STUDY = Study(data="/ham10000", scale="small", weights="/w.safetensors", arch="mobilenetv2_100")

_SCORED: dict[tuple[object, ...], dict[str, Any]] = {}


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
    draws = np.random.default_rng(1).random(len(labels))
    needed = skill + rare * np.isin(labels, [0, 1, 3, 6])
    needed = np.where(sibling, other.pop("siblings", needed), needed)
    predicted = np.where(draws < needed, labels, (labels + 1 + (draws * 1000).astype(int) % 6) % 7)
    probabilities = np.full((len(labels), 7), 0.05)
    probabilities[np.arange(len(labels)), predicted] = 0.7
    key = (tuple(labels), probabilities.tobytes())
    if key not in _SCORED:
        _SCORED[key] = _score(Predictions(labels, probabilities, lesions))
    data = _data(study)
    recipes: dict[str, Any] = {name: generator(name, study).recipe for name in ("sagan", "projected")}
    if entry.parent is not None:
        recipes[entry.parent] = classifier(entry.parent, skill, study, each).recipe
    context = Context(study, data, Pretrained("w.safetensors"), recipes)
    fields: dict[str, Any] = {
        "recipe": classifier_kind.resolve(name, entry, context),
        "counts": data.counts,
        "best_epoch": 7,
        "calibration": {"temperature": 1.0},  # as where the natural classes were drawn
        **_SCORED[key],
        "images": [
            ImageRecord(f"ISIC_{k:07}", lesions[k], CLASSES[labels[k]], bool(sibling[k]), probabilities[k].tolist())
            for k in range(len(labels))
        ],
    }
    return ClassifierRecord(**_origin(name, entry, study), **(fields | other))


def generator(name: str, study: Study = STUDY) -> GeneratorRecord:
    """The record of a generator of the catalog."""
    entry = catalog()[name]
    assert isinstance(entry, Generator)
    measures = ("kid", "frechet", "precision", "recall", "density", "coverage")
    good, bad = ({key: value for key in measures} | {"step": 500} for value in (0.5, 0.25))
    return GeneratorRecord(
        **_origin(name, entry, study),
        recipe=generator_kind.resolve(name, entry, Context(study, _data(study), Pretrained("imagenet"))),
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


def write(root: Path, *records: AnyRecord) -> list[Path]:
    """Write records below `root`, as the command does."""
    return [save(root / "docs" / "results", record) for record in records]


def _score(predictions: Predictions) -> dict[str, Any]:
    """The scores of a record. Those of all parts and epochs are one."""
    resamples = Resamples(predictions.labels, predictions.lesions)
    thresholds = malignancy.thresholds(predictions)
    return dict.fromkeys(("valid", "test", "last_valid", "last_test"), score(predictions, resamples)) | {
        "challenge": challenge.by_class(predictions),
        "malignancy": malignancy.score(predictions, thresholds, resamples),
    }


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
