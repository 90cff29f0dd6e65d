"""What the leak of the thesis's split is worth: the same training with and without the siblings of its test images.

Lesions that were photographed several times are no random sample, so images that leak are never compared with those
that do not: both trainings are scored on the same images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.records.record import ClassifierRecord, Recorded, RecordError, same_images
from zoo import bootstrap
from zoo.bootstrap import Difference, Resamples

WITH, WITHOUT = "thesis", "thesis_without_siblings"

MEASURES = {
    "accuracy": bootstrap.accuracy,
    "balanced accuracy": bootstrap.balanced_accuracy,
    "macro F1": bootstrap.macro_f1,
}


class Gain(NamedTuple):
    """How much higher a measure is of the training with siblings than of that without, on the same images."""

    measure: str
    with_siblings: float
    without: float
    found: Difference
    p_holm: float
    """Corrected for the measures on these images."""


class Part(NamedTuple):
    """Some of the test images."""

    images: int
    lesions: int
    gains: list[Gain]


class Leak(NamedTuple):
    """One entry, trained both ways."""

    entry: str
    with_siblings: ClassifierRecord
    without: ClassifierRecord
    leaking: Part
    """The test images whose lesion is in training, too."""
    others: Part
    """The rest. They lost no sibling: what they lose, they lose by the smaller training set."""


def leaks(studies: Sequence[Recorded]) -> list[Leak]:
    """Every entry that is recorded under the thesis's split, and without siblings in a study that is else the same.

    Raises `RecordError` where two such records are of different test images.
    """
    found = []
    for study in studies:
        for other in studies:
            pair = (study.settings.split, other.settings.split)
            if pair == (WITH, WITHOUT) and study.settings.but("split") == other.settings.but("split"):
                names = [name for name in study.classifiers if name in other.classifiers]
                found += [_leak(study.classifiers[name], other.classifiers[name]) for name in names]
    return found


def _recipe(record: ClassifierRecord) -> dict[str, Any]:
    """What both trainings have in common: all but the images left out, and how many are drawn of those that stay."""
    return record.recipe.model_dump(exclude={"split_sha256", "draws", "parent_sha256", "generator_sha256"})


def _leak(record: ClassifierRecord, without: ClassifierRecord) -> Leak:
    if not same_images(record, without):
        raise RecordError(f"{record.study} and {without.study}: {record.entry} was scored on different test images")
    if _recipe(record) != _recipe(without):
        raise RecordError(f"{record.study} and {without.study}: {record.entry} has different recipes or data")
    sibling = np.array([one.sibling for one in record.images])
    return Leak(record.entry, record, without, *(_part(record, without, rows) for rows in (sibling, ~sibling)))


def _part(
    record: ClassifierRecord, without: ClassifierRecord, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Part:
    rows = np.flatnonzero(chosen)
    if len(rows) == 0:
        return Part(0, 0, [])
    lesions = [record.lesions[row] for row in rows]
    resamples = Resamples(record.labels[rows], lesions, 0, bootstrap.PAIRED_RESAMPLES)
    mine, other = (bootstrap.estimates(resamples, one.said[rows], MEASURES) for one in (record, without))
    found = {name: bootstrap.paired_difference(mine[name], other[name]) for name in MEASURES}
    corrected = bootstrap.holm([one.p for one in found.values()])
    gains = [
        Gain(name, mine[name].value, other[name].value, one, p)
        for (name, one), p in zip(found.items(), corrected, strict=True)
    ]
    return Part(len(rows), len(set(lesions)), gains)
