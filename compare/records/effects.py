"""The effect of each technique: paired differences on the same lesions, from records alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compare.records.studies import STEPS, StudyRecords
from lesions.labels import CLASSES
from zoo.kinds.base import Random
from zoo.kinds.classifier import ClassifierRecipe
from zoo.kinds.ensemble import EnsembleRecipe
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate, Resamples

RARE = ("akiec", "bcc", "df", "vasc")
"""The classes with fewer than a fifteenth of the images each; `mel` and `bkl` have a ninth, `nv` two thirds."""
MACRO_F1, RARE_F1, RARE_RECALL = "macro F1", "mean F1 of the rare classes", "mean recall of the rare classes"

QUESTIONS = {
    "transfer": "Is anything better, or worse, than `transfer`: pretrained weights and nothing else?",
    "baseline": "Is anything better, or worse, than `baseline`: random weights and nothing else?",
    "steps": "What is each step beyond `transfer` worth, over the one before it?",
    "rare": f"Do the rare classes ({', '.join(RARE)}) gain from augmentation, weighting, sampling or synthetic images?",
    "duplicates": "Are synthetic images worth more than copies of real ones, at the same draws?",
}

TECHNIQUES: Mapping[str, Callable[[ClassifierRecipe], bool]] = {
    "augmentation": lambda recipe: recipe.augment != "none",
    "weighting": lambda recipe: recipe.loss == "weighted_cross_entropy",
    "sampling": lambda recipe: recipe.sampling == "balanced",
    "synthetic images": lambda recipe: recipe.generator is not None,
    "copies of real images": lambda recipe: recipe.duplicates,
}
"""Whether a recipe uses a technique against class imbalance, by its name."""
OUTCOMES = ("helped", "hurt", "no difference shown")


def _mean_of_rare(score: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> bootstrap.Score:
    rare = [CLASSES.index(name) for name in RARE]
    return lambda confusions: np.asarray(score(confusions)[:, rare].mean(1))


MEASURES: Mapping[str, bootstrap.Score] = {
    MACRO_F1: bootstrap.macro_f1,
    RARE_F1: _mean_of_rare(bootstrap.class_f1),
    RARE_RECALL: _mean_of_rare(bootstrap.class_recall),
}


class Effect(NamedTuple):
    """How much higher a measure is of one entry than of its reference."""

    entry: str
    reference: str
    measure: str
    difference: Difference
    """Holm-corrected for all effects of the same question."""

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        if not self.difference.is_significant:
            return "no difference shown"
        return "helped" if self.difference.difference > 0 else "hurt"


Estimates = Mapping[str, Mapping[str, Estimate]]
"""Each measure of each entry, by entry and measure."""


def by_outcome(effects: Iterable[Effect], measure: str | None = None) -> dict[str, list[Effect]]:
    """The effects of each of `OUTCOMES`; on one `measure` alone, if given."""
    chosen = [effect for effect in effects if measure in (None, effect.measure)]
    return {outcome: [effect for effect in chosen if effect.outcome == outcome] for outcome in OUTCOMES}


def estimate(study: StudyRecords) -> Estimates:
    """Every measure of every entry of `study`, paired: all come from the same resamples."""
    if not study.classifiers:
        return {}
    first = next(iter(study.classifiers.values()))
    resamples = Resamples(first.labels, first.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    return {
        name: bootstrap.estimates(resamples, record.predicted, MEASURES) for name, record in study.classifiers.items()
    }


def reference(study: StudyRecords, name: str) -> str | None:
    """The entry that `name` is compared with: the one of the same start and nothing else; none for the baseline.

    That of `transfer` is `baseline`: this shows the effect of pretrained weights.
    """
    if name == "baseline":
        return None
    return "baseline" if name == "transfer" or from_random(study, name) else "transfer"


def by_question(study: StudyRecords, estimates: Estimates) -> dict[str, list[Effect]]:
    """The effects that answer each of `QUESTIONS`, in the order of entries; a question without any is left out."""
    references = {name: other for name in study.classifiers if (other := reference(study, name)) in estimates}
    comparisons: dict[str, list[tuple[str, str, str]]] = {
        which: [(name, which, MACRO_F1) for name, other in references.items() if other == which]
        for which in ("transfer", "baseline")
    }
    steps = [name for name in STEPS if name in estimates]
    comparisons["steps"] = [(name, before, MACRO_F1) for before, name in pairwise(steps)]
    comparisons["rare"] = [
        (name, other, measure)
        for name, other in references.items()
        if other is not None and techniques(study, name) and networks(study, name) == networks(study, other)
        for measure in (RARE_F1, RARE_RECALL)
    ]
    comparisons["duplicates"] = [
        (name, other, measure)
        for name in study.classifiers
        if (other := filled_up_alike(study, name)) is not None and other in estimates
        for measure in MEASURES
    ]
    effects = {}
    for question, rows in comparisons.items():
        pairs = [(estimates[name][measure], estimates[other][measure]) for name, other, measure in rows]
        effects[question] = [
            Effect(*row, difference) for row, difference in zip(rows, bootstrap.paired_differences(pairs), strict=True)
        ]
    return {question: answers for question, answers in effects.items() if answers}


def filled_up_alike(study: StudyRecords, name: str) -> str | None:
    """The entry that is as the entry `name`, with copies of real images in place of synthetic ones."""
    mine = study.classifiers[name]
    if not isinstance(mine.recipe, ClassifierRecipe) or mine.recipe.generator is None or not mine.recipe.fill_up:
        return None
    for other, record in study.classifiers.items():
        duplicates = isinstance(record.recipe, ClassifierRecipe) and record.recipe.duplicates
        if duplicates and mine.same_recipe(record, "entry", "generator", "generator_sha256", "duplicates"):
            return other
    return None


def lineage(study: StudyRecords, name: str) -> Iterator[ClassifierRecipe]:
    """The recipe of the entry `name`, and those of the entries that it goes on from; of an ensemble, its members'."""
    record = study.classifiers.get(name)
    while record is not None:
        if isinstance(record.recipe, EnsembleRecipe):
            for member in record.recipe.members:
                yield from lineage(study, member)
            return
        yield record.recipe
        record = study.classifiers.get(record.parent)


def techniques(study: StudyRecords, name: str) -> list[str]:
    """Which of `TECHNIQUES` the entry `name` or one that it goes on from uses."""
    recipes = list(lineage(study, name))
    return [technique for technique, is_used in TECHNIQUES.items() if any(map(is_used, recipes))]


def networks(study: StudyRecords, name: str) -> set[str]:
    """The networks of the entry `name`; of an ensemble, its members'."""
    return {recipe.architecture for recipe in lineage(study, name)}


def by_technique(study: StudyRecords, effects: Iterable[Effect]) -> dict[str, list[Effect]]:
    """The `effects` of the entries that use each of `TECHNIQUES`; one that none uses is left out."""
    uses = {name: [effect for effect in effects if name in techniques(study, effect.entry)] for name in TECHNIQUES}
    return {technique: used for technique, used in uses.items() if used}


def images_drawn(study: StudyRecords, name: str) -> int:
    """The images that the entry `name` saw in training, those of entries that it goes on from included."""
    return sum(recipe.training_images for recipe in lineage(study, name))


def from_random(study: StudyRecords, name: str) -> bool:
    """Whether the entry `name`, or the one that it goes on from, starts from random weights."""
    return isinstance([recipe.start for recipe in lineage(study, name)][-1], Random)
