"""Five folds: predictions of all images, each by a training that did not see it, and the differences of recipes.

Each fold has a split and a seed of its own, so the spread of its differences has both in it. A difference counts as
shown only if the pooled images show it, and four of the five folds agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from compare.records import effects
from compare.records.effects import MEASURES, Effect
from compare.records.record import ClassifierRecord, RecordError
from compare.records.studies import StudyRecords
from lesions.split import FOLDS, fold_number
from zoo.kinds.ensemble import EnsembleRecipe
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Resamples

OF_INTEREST = 0.03
"""The smallest difference of interest, of macro F1: declared before anything was measured."""
AGREEING = 4
"""The folds that must agree in direction."""
POWER = 0.8
"""With which the smallest difference that can be shown would be shown."""
OF_A_FOLD = ("seed", "split_sha256", "parent_sha256", "generator_sha256", "members", "draws")
"""The fields of a recipe that may differ between folds."""


class FoldEffect(NamedTuple):
    """How much higher a measure is of one entry than of its reference."""

    effect: Effect
    """Of the pooled images; Holm-corrected within its question."""
    by_fold: list[float]
    """The difference in each fold."""
    corrected_interval: tuple[float, float]
    """95 %, of the mean over folds (Nadeau & Bengio, Machine Learning 52, 2003): folds share training images."""
    smallest: float
    """The difference that the pooled images would show with a power of 0.8, at the strictest step of Holm's correction.

    By the bootstrap's spread: it is of these checkpoints, not of other seeds.
    """

    @property
    def agreeing(self) -> int:
        """How many folds have the direction of the pooled difference."""
        return sum(np.sign(value) == np.sign(self.effect.difference.difference) for value in self.by_fold)

    @property
    def outcome(self) -> str:
        """One of `effects.OUTCOMES`."""
        return self.effect.outcome if self.agreeing >= AGREEING else "no difference shown"


@dataclass(frozen=True)
class Folds:
    """The five studies of one set of folds."""

    studies: list[StudyRecords]
    """In the order of folds."""

    @property
    def name(self) -> str:
        """That of the first fold, without its number."""
        return self.studies[0].name.removesuffix("-fold1")

    @cached_property
    def pooled(self) -> StudyRecords:
        """Entries that are recorded in every fold, with the test images of all folds in a row."""
        first = self.studies[0]
        names = [name for name in first.classifiers if all(name in study.classifiers for study in self.studies)]
        return StudyRecords(self.name, first.settings, {name: self._pool(name) for name in names})

    @cached_property
    def questions(self) -> dict[str, list[FoldEffect]]:
        """The effects that answer each of `effects.QUESTIONS`, of pooled images."""
        estimates = effects.estimate(self.pooled)
        return {
            question: [self._of_folds(effect, estimates, len(answers)) for effect in answers]
            for question, answers in effects.by_question(self.pooled, estimates).items()
        }

    @property
    def smallest(self) -> tuple[float, float]:
        """The range of the smallest differences in macro F1 that can be shown."""
        values = [
            effect.smallest
            for answers in self.questions.values()
            for effect in answers
            if effect.effect.measure == effects.MACRO_F1
        ]
        return min(values), max(values)

    def _pool(self, name: str) -> ClassifierRecord:
        """The record of the first fold, with all images. Only its images and its recipe's options have a meaning.

        Raises `RecordError` where the folds have different recipes, or test on an image twice.
        """
        records = [study.classifiers[name] for study in self.studies]
        # At the scale demo, images are added in proportion to those of the training split.
        of_a_fold = (*OF_A_FOLD, "fill_up") if self.studies[0].settings.scale == "demo" else OF_A_FOLD
        for other in records[1:]:
            if not records[0].same_recipe(other, *of_a_fold) or _shape(records[0]) != _shape(other):
                raise RecordError(f"{other.study}: {name} has another recipe than {records[0].study}'s; train it again")
        images = [image for record in records for image in record.images]
        if len({image.image for image in images}) < len(images):
            raise RecordError(f"{name}: the folds of {self.name} test on an image twice")
        return ClassifierRecord.model_construct(**(dict(records[0]) | {"images": images}))

    def _of_folds(self, effect: Effect, estimates: effects.Estimates, comparisons: int) -> FoldEffect:
        mine, other = ([self._in_fold[number, name, effect.measure] for number in range(FOLDS)]
                       for name in (effect.entry, effect.reference))  # fmt: skip
        by_fold = [one - another for one, another in zip(mine, other, strict=True)]
        pair = [estimates[name][effect.measure].resampled for name in (effect.entry, effect.reference)]
        spread = float(np.std(pair[0] - pair[1], ddof=1))
        ratio = np.mean([sum(counts["test"]) / sum(counts["train"]) for counts in self._counts])
        half = t.ppf(0.975, FOLDS - 1) * float(np.sqrt((1 / FOLDS + ratio) * np.var(by_fold, ddof=1)))
        mean = float(np.mean(by_fold))
        level = bootstrap.SIGNIFICANCE_LEVEL / comparisons
        smallest = (norm.ppf(1 - level / 2) + norm.ppf(POWER)) * spread
        return FoldEffect(effect, by_fold, (mean - half, mean + half), float(smallest))

    @cached_property
    def _in_fold(self) -> Mapping[tuple[int, str, str], float]:
        """Each measure of each entry in each fold (from 0)."""
        values = {}
        for number, study in enumerate(self.studies):
            for name in self.pooled.classifiers:
                record = study.classifiers[name]
                once = Resamples(record.labels, record.lesions, 0, 1)  # only the observed values are needed
                for measure, estimate in bootstrap.estimates(once, record.predicted, MEASURES).items():
                    values[number, name, measure] = estimate.value
        return values

    @property
    def _counts(self) -> list[dict[str, list[int]]]:
        """Images of each class and part, for each fold."""
        return [next(iter(study.classifiers.values())).counts for study in self.studies]


def _shape(record: ClassifierRecord) -> tuple[int, list[str]]:
    """What must be equal of the fields in `OF_A_FOLD`: the number of epochs, and what an entry is made from."""
    epochs = 0 if isinstance(record.recipe, EnsembleRecipe) else record.recipe.epochs
    return epochs, list(record.made_from)


def folds(studies: Sequence[StudyRecords]) -> list[Folds]:
    """The sets of five studies that differ in nothing but their fold and its seed.

    Left out are incomplete sets, those without two entries that are compared, and repeats of a fold with other seeds:
    these would have more to say of one fold than of the others.
    """
    groups: dict[str, dict[int, StudyRecords]] = {}
    for study in studies:
        number = fold_number(study.settings.split)
        own_seed = study.settings.seed == study.settings.generator_seed == number
        if number is not None and own_seed and study.classifiers:
            groups.setdefault(study.settings.without("split", "seed", "generator_seed"), {})[number] = study
    sets = [Folds([by_number[number] for number in sorted(by_number)]) for by_number in groups.values()
            if len(by_number) == FOLDS]  # fmt: skip
    return [one for one in sets if one.questions]
