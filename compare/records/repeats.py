"""Repeats over seeds: studies that differ in SEED alone. Only they speak of recipes; the rest speaks of checkpoints.

Pretrained weights and synthetic images are the same in all of them: the effect of a generator's seed is not included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from compare.records import effects
from compare.records.record import RecordError
from compare.records.studies import StudyRecords
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate, Resamples
from zoo.metrics.scores import Scores
from zoo.study import Study


class RepeatedEffect(NamedTuple):
    """How much higher the macro F1 of an entry is than that of a reference, over several seeds."""

    entry: str
    reference: str
    by_seed: dict[int, float]
    """Of the seeds of both."""
    difference: Difference
    """Of the means over seeds; Holm-corrected for all effects of the same group.

    The interval is by bootstrap over test lesions, the same resamples for every seed: other seeds are not in it.
    """

    @property
    def direction(self) -> str:
        """Whether the differences, to three decimals, all point the same way; empty where there is only one."""
        signs = {np.sign(round(value, 3)) for value in self.by_seed.values()}
        if len(self.by_seed) == 1:
            return ""
        return "always higher" if signs == {1} else "always lower" if signs == {-1} else "not always the same way"


@dataclass(frozen=True)
class Repeats:
    """Studies that differ in nothing but their seeds."""

    studies: list[StudyRecords]
    """The first, of the default seed if there is one, is the one that the others repeat."""
    scores: dict[str, dict[int, Scores]]
    """On the test split, by entry and seed, of entries that were trained with two seeds at least."""

    @property
    def seeds(self) -> list[int]:
        """The seeds of `studies`."""
        return [study.settings.seed for study in self.studies]

    @cached_property
    def effects(self) -> list[RepeatedEffect]:
        """Of each entry against the one with the same start and nothing else, and against copies of real images."""
        pairs: list[tuple[str, str, list[int]]] = []
        for entry, by_seed in self.scores.items():
            study = next(study for study in self.studies if entry in study.classifiers)
            for other in (effects.reference(study, entry), effects.filled_up_alike(study, entry)):
                seeds = [seed for seed in by_seed if seed in self.scores.get(other or "", {})]
                if other is not None and seeds:
                    pairs.append((entry, other, seeds))
        differences = bootstrap.paired_differences(
            [(self._mean(entry, seeds), self._mean(other, seeds)) for entry, other, seeds in pairs]
        )
        result = []
        for (entry, other, seeds), difference in zip(pairs, differences, strict=True):
            values = {seed: self.scores[entry][seed].macro_f1 - self.scores[other][seed].macro_f1 for seed in seeds}
            result.append(RepeatedEffect(entry, other, values, difference))
        return result

    def _mean(self, entry: str, seeds: Sequence[int]) -> Estimate:
        """The mean macro F1 over seeds, and that of each resample."""
        each = [self._estimates[entry, seed] for seed in seeds]
        resampled = np.mean([estimate.resampled for estimate in each], axis=0)
        return Estimate(float(np.mean([estimate.value for estimate in each])), resampled)

    @cached_property
    def _estimates(self) -> dict[tuple[str, int], Estimate]:
        """Of each entry and seed, all from the same resamples."""
        first = next(iter(self.studies[0].classifiers.values()))
        resamples = Resamples(first.labels, first.lesions, 0, bootstrap.PAIRED_RESAMPLES)
        return {
            (name, study.settings.seed): bootstrap.estimate(resamples, record.predicted)
            for study in self.studies
            for name, record in study.classifiers.items()
            if name in self.scores
        }


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
                if not first.same_recipe(other, "seed", "parent_sha256", "members"):
                    raise RecordError(f"{other.study}: {name} is no repeat of {first.study}'s: other recipe or data")
            if others:
                scores[name] = {seed: record.test for seed, record in records.items()}
        if scores:
            result.append(Repeats(list(by_seed.values()), scores))
    return result
