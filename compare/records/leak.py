"""What the leak of the thesis's split is worth: the same training with and without the siblings of its test images.

Lesions that were photographed several times are no random sample, so images that leak are never compared with those
that do not: both trainings are scored on the same images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compare.records.record import ClassifierRecord, Recorded, RecordError, same_images
from lesions.labels import CLASSES
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Resamples

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
    """Corrected for all measures on all parts, as one question."""


class Part(NamedTuple):
    """Some of the test images."""

    counts: list[int]
    """Images of each class."""
    lesions: int
    gains: list[Gain]

    @property
    def images(self) -> int:
        """How many they are."""
        return sum(self.counts)


class Leak(NamedTuple):
    """One entry, trained both ways."""

    entry: str
    with_siblings: ClassifierRecord
    without: ClassifierRecord
    leaking: Part
    """The test images whose lesion is in training, too."""
    others: Part
    """The rest. They lost no sibling: what they differ by is the training set's size, and chance."""
    every: Part
    """All test images: how much the leak makes of the score of the whole split."""


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
    parts = [_part(record, without, np.flatnonzero(chosen)) for chosen in (sibling, ~sibling, sibling | True)]
    corrected = iter(bootstrap.holm([gain.found.p for part in parts for gain in part.gains]))
    return Leak(
        record.entry,
        record,
        without,
        *(part._replace(gains=[gain._replace(p_holm=next(corrected)) for gain in part.gains]) for part in parts),
    )


def _part(record: ClassifierRecord, without: ClassifierRecord, rows: NDArray[np.int64]) -> Part:
    """The test images `rows`; p values are not corrected yet."""
    lesions, labels = [record.lesions[row] for row in rows], record.labels[rows]
    counts = np.bincount(labels, minlength=len(CLASSES)).tolist()
    if len(rows) == 0:
        return Part(counts, 0, [])
    resamples = Resamples(labels, lesions, 0, bootstrap.PAIRED_RESAMPLES)
    mine, other = (bootstrap.estimates(resamples, one.said[rows], MEASURES) for one in (record, without))
    gains = []
    for name in MEASURES:
        found = bootstrap.paired_difference(mine[name], other[name])
        gains.append(Gain(name, mine[name].value, other[name].value, found, found.p))
    return Part(counts, len(set(lesions)), gains)
