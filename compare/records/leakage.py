"""The effect of the thesis's leaking split: the same training with and without the siblings of its test images.

Lesions that were photographed several times are no random sample, so images that leak are never compared with those
that do not: both trainings are scored on the same images.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from compare.records.record import ClassifierRecord, RecordError
from compare.records.studies import StudyRecords, same_images
from lesions.labels import CLASSES
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Resamples

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
    difference: Difference
    """Holm-corrected for all measures on all subsets, as one question."""


class Subset(NamedTuple):
    """Some of the test images."""

    counts: list[int]
    """Images of each class."""
    lesions: int
    gains: list[Gain]

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(self.counts)


class Leakage(NamedTuple):
    """One entry, trained with and without siblings."""

    entry: str
    with_siblings: ClassifierRecord
    without: ClassifierRecord
    leaking: Subset
    """The test images whose lesion is in training, too."""
    others: Subset
    """The rest. They lost no sibling: their differences are due to the training set's size, and to chance."""
    total: Subset
    """All test images: the effect of the leak on the score of the whole split."""


def leakages(studies: Sequence[StudyRecords]) -> list[Leakage]:
    """Every entry that is recorded under the thesis's split, and without siblings in a study that is else the same.

    Raises `RecordError` where two such records are of different test images.
    """
    return [
        _leakage(record, other.classifiers[name])
        for study, other in product(studies, studies)
        if (study.settings.split, other.settings.split) == ("thesis", "thesis_without_siblings")
        and study.settings.without("split") == other.settings.without("split")
        for name, record in study.classifiers.items()
        if name in other.classifiers
    ]


def by_entry(leakages: Iterable[Leakage]) -> list[list[Leakage]]:
    """The leakages of the same entry in studies that differ in their seeds alone."""
    groups: dict[tuple[str, str], list[Leakage]] = {}
    for leakage in leakages:
        groups.setdefault((leakage.entry, leakage.with_siblings.settings.without("split", "seed")), []).append(leakage)
    return list(groups.values())


def _leakage(record: ClassifierRecord, without: ClassifierRecord) -> Leakage:
    if not same_images(record, without):
        raise RecordError(f"{record.study} and {without.study}: {record.entry} was scored on different test images")
    # The images left out, and how many are drawn of those that stay, differ on purpose.
    if not record.same_recipe(without, "split_sha256", "draws", "parent_sha256", "generator_sha256"):
        raise RecordError(f"{record.study} and {without.study}: {record.entry} has different recipes or data")
    sibling = np.array([image.sibling for image in record.images])
    subsets, pairs = [], []
    for rows in (np.flatnonzero(sibling), np.flatnonzero(~sibling), np.arange(len(sibling))):
        labels, lesions = record.labels[rows], [record.images[row].lesion for row in rows]
        subsets.append(Subset(np.bincount(labels, minlength=len(CLASSES)).tolist(), len(set(lesions)), []))
        if len(rows):
            resamples = Resamples(labels, lesions, 0, bootstrap.PAIRED_RESAMPLES)
            higher, lower = (
                bootstrap.estimates(resamples, training.predicted[rows], MEASURES) for training in (record, without)
            )
            pairs += [(subsets[-1], measure, higher[measure], lower[measure]) for measure in MEASURES]
    differences = bootstrap.paired_differences([pair[2:] for pair in pairs])
    for (subset, measure, with_, without_), difference in zip(pairs, differences, strict=True):
        subset.gains.append(Gain(measure, with_.value, without_.value, difference))
    return Leakage(record.entry, record, without, *subsets)
