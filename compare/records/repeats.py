"""Repeats over seeds: studies that differ in SEED alone. Only they speak of recipes; the rest speaks of checkpoints.

Pretrained weights and synthetic images are the same in all of them: the effect of a generator's seed is not included.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.records import effects
from compare.records.record import RecordError
from compare.records.studies import StudyRecords
from zoo.metrics.scores import Scores
from zoo.study import Study


class RepeatedEffect(NamedTuple):
    """How much higher the macro F1 of an entry is than that of its reference."""

    reference: str
    differences: dict[int, float]
    """By seed, of the seeds of both."""

    @property
    def direction(self) -> str:
        """Whether the differences, to three decimals, all point the same way; empty where there is only one."""
        signs = {np.sign(round(value, 3)) for value in self.differences.values()}
        if len(self.differences) == 1:
            return ""
        return "always higher" if signs == {1} else "always lower" if signs == {-1} else "not always the same way"


class Repeats(NamedTuple):
    """Studies that differ in nothing but their seeds."""

    studies: list[StudyRecords]
    """The first, of the default seed if there is one, is the one that the others repeat."""
    scores: dict[str, dict[int, Scores]]
    """On the test split, by entry and seed, of entries that were trained with two seeds at least."""

    @property
    def seeds(self) -> list[int]:
        """The seeds of `studies`."""
        return [study.settings.seed for study in self.studies]

    def effect(self, entry: str) -> "RepeatedEffect | None":
        """How much higher the macro F1 of `entry` is than its reference's; none where the two share no seed."""
        reference = effects.reference(next(study for study in self.studies if entry in study.classifiers), entry)
        others = self.scores.get(reference or "", {})
        differences = {
            seed: scores.macro_f1 - others[seed].macro_f1
            for seed, scores in self.scores[entry].items()
            if seed in others
        }
        return RepeatedEffect(reference, differences) if reference and differences else None


def _precedence(study: StudyRecords) -> tuple[bool, int, int, str]:
    """The sort key of studies that differ in their seeds alone."""
    seed = study.settings.seed
    return seed != Study().seed, -len(study.classifiers), seed, study.name


def repeats(studies: Sequence[StudyRecords]) -> list[Repeats]:
    """Groups of studies with an entry in common that differ in their seeds alone.

    Raises `RecordError` where an entry's recipe, its data and split included, differs in more than the seed.
    """
    groups: dict[str, dict[int, StudyRecords]] = {}
    # The default seed's comes first, however few entries it has; a second study of the same seed is no repeat.
    for study in sorted(studies, key=_precedence):
        groups.setdefault(study.settings.without("seed"), {}).setdefault(study.settings.seed, study)
    order = list(dict.fromkeys(study.settings.without("seed") for study in studies))
    result = []
    for by_seed in (groups[key] for key in order):
        scores: dict[str, dict[int, Scores]] = {}
        for name in dict.fromkeys(name for study in by_seed.values() for name in study.classifiers):
            records = {seed: study.classifiers[name] for seed, study in by_seed.items() if name in study.classifiers}
            first, *others = records.values()
            for other in others:
                if not first.same_recipe(other, "seed", "parent_sha256"):
                    raise RecordError(f"{other.study}: {name} is no repeat of {first.study}'s: other recipe or data")
            if others:
                scores[name] = {seed: record.test for seed, record in records.items()}
        if scores:
            result.append(Repeats(list(by_seed.values()), scores))
    return result
