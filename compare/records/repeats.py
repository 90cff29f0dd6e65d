"""Repeats over seeds: studies that differ in SEED alone. Only they speak of recipes; the rest speaks of checkpoints.

Pretrained weights and synthetic images are the same in all of them: what a generator's own seed is worth is not in it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from compare.records.record import ClassifierRecord, Recorded, RecordError
from zoo.metrics.scores import Scores
from zoo.study import Study


class Repeated(NamedTuple):
    """Studies that differ in nothing but their seeds."""

    studies: list[Recorded]
    """The first, of the usual seed if there is one, is the one that the others repeat."""
    scores: dict[str, dict[int, Scores]]
    """On the test split, by entry and seed, of entries that were trained with two seeds at least."""

    @property
    def seeds(self) -> list[int]:
        """Those of `studies`."""
        return [study.settings.seed for study in self.studies]

    def macro_f1(self, entry: str) -> dict[int, float]:
        """Of `entry`, by seed."""
        return {seed: scores.macro_f1 for seed, scores in self.scores[entry].items()}

    def differences(self, entry: str, against: str) -> dict[int, float]:
        """By seed, how much higher the macro F1 of `entry` is than that of `against`, where both were trained."""
        others = self.macro_f1(against) if against in self.scores else {}
        return {seed: value - others[seed] for seed, value in self.macro_f1(entry).items() if seed in others}


def _recipe(record: ClassifierRecord) -> dict[str, Any]:
    """What a repeat has in common with what it repeats."""
    return record.recipe.model_dump(exclude={"seed", "parent_sha256"})


def _first(study: Recorded) -> tuple[bool, int, int, str]:
    seed = study.settings.seed
    return seed != Study().seed, -len(study.classifiers), seed, study.name


def repeats(studies: Sequence[Recorded]) -> list[Repeated]:
    """Groups of studies with an entry in common that differ in their seeds alone.

    Raises `RecordError` where an entry's recipe, its data and split included, differs in more than the seed.
    """
    groups: dict[str, list[Recorded]] = {}
    for study in studies:
        groups.setdefault(study.settings.but("seed"), []).append(study)
    found = []
    for group in groups.values():
        # That of the usual seed comes first, however few entries it has; another of the same seed is no repeat.
        ordered: dict[int, Recorded] = {}
        for study in sorted(group, key=_first):
            ordered.setdefault(study.settings.seed, study)
        names = dict.fromkeys(name for study in ordered.values() for name in study.classifiers)
        for name in names:
            records = [study.classifiers[name] for study in ordered.values() if name in study.classifiers]
            for other in records[1:]:
                if _recipe(other) != _recipe(records[0]):
                    raise RecordError(
                        f"{other.study}: {name} is no repeat of {records[0].study}'s: other recipe or data"
                    )
        scores = {
            name: {seed: study.classifiers[name].test for seed, study in ordered.items() if name in study.classifiers}
            for name in names
        }
        if several := {name: by_seed for name, by_seed in scores.items() if len(by_seed) > 1}:
            found.append(Repeated(list(ordered.values()), several))
    return found
