"""What each technique is worth: paired differences over the same lesions, from records alone."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compare.records.record import ClassifierRecord, Recorded
from lesions.labels import CLASSES
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate, Resamples

RARE = ("akiec", "bcc", "df", "vasc")
"""The classes with fewer than a fifteenth of the images each; `mel` and `bkl` have a ninth, `nv` two thirds."""

LEVEL = 0.05
"""Of significance, after Holm's correction."""

MACRO_F1, RARE_F1, RARE_RECALL = "macro F1", "mean F1 of the rare classes", "mean recall of the rare classes"

ASKED = {
    "transfer": "Is anything better, or worse, than `transfer`: pretrained weights and nothing else?",
    "baseline": "Is anything better, or worse, than `baseline`: random weights and nothing else?",
    "rare": f"Do the rare classes ({', '.join(RARE)}) gain from weighting, sampling, or synthetic images?",
}
"""The questions, by name."""

_RARE = [CLASSES.index(name) for name in RARE]


def _rare_f1(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(bootstrap.class_f1(confusions)[:, _RARE].mean(1))


def _rare_recall(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(bootstrap.class_recall(confusions)[:, _RARE].mean(1))


MEASURES: Mapping[str, bootstrap.Score] = {
    MACRO_F1: bootstrap.macro_f1,
    RARE_F1: _rare_f1,
    RARE_RECALL: _rare_recall,
}


class Finding(NamedTuple):
    """How much higher a measure is of one entry than of another."""

    entry: str
    against: str
    measure: str
    found: Difference
    p_holm: float
    """Corrected for all findings of the same question."""

    @property
    def verdict(self) -> str:
        """In a word or some: what this test set can show."""
        if self.p_holm >= LEVEL:
            return "no difference shown"
        return "helped" if self.found.difference > 0 else "hurt"


class Question(NamedTuple):
    """Something asked of several entries at once; Holm's correction is within it."""

    name: str
    """For a file."""
    asked: str
    findings: list[Finding]
    """In the order of entries; all measures of one entry together."""


Judged = Mapping[str, Mapping[str, Estimate]]
"""Of each entry each measure."""


def judge(study: Recorded) -> Judged:
    """Every entry of `study` by every measure, paired: all come from the same resamples."""
    if not study.classifiers:
        return {}
    first = next(iter(study.classifiers.values()))
    resamples = Resamples(first.labels, first.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    return {name: bootstrap.estimates(resamples, record.said, MEASURES) for name, record in study.classifiers.items()}


def reference(study: Recorded, name: str) -> str | None:
    """What the entry `name` is compared with: the one of the same start and nothing else; none for the baseline.

    That of `transfer` is `baseline`: what pretrained weights are worth.
    """
    if name == "baseline":
        return None
    return "baseline" if name == "transfer" or from_random(study, name) else "transfer"


def questions(study: Recorded, judged: Judged) -> list[Question]:
    """What can be asked of the entries that there are; a question that nothing answers is left out."""
    references = {name: reference(study, name) for name in study.classifiers}

    def against(which: str) -> list[tuple[str, str, str]]:
        return [(name, which, MACRO_F1) for name, other in references.items() if other == which]

    rare = [
        (name, other, measure)
        for name, other in references.items()
        if other is not None and techniques(study, name)
        for measure in (RARE_F1, RARE_RECALL)
    ]
    asked = {
        "transfer": against("transfer"),
        "baseline": against("baseline"),
        "rare": rare,
    }
    found = []
    for question, several in asked.items():
        possible = [(name, other, measure) for name, other, measure in several if other in judged]
        if possible:
            found.append(Question(question, ASKED[question], _findings(judged, possible)))
    return found


def _findings(judged: Judged, several: list[tuple[str, str, str]]) -> list[Finding]:
    differences = [
        bootstrap.paired_difference(judged[name][measure], judged[against][measure])
        for name, against, measure in several
    ]
    corrected = bootstrap.holm([one.p for one in differences])
    return [
        Finding(name, against, measure, difference, p)
        for (name, against, measure), difference, p in zip(several, differences, corrected, strict=True)
    ]


def techniques(study: Recorded, name: str) -> list[str]:
    """Which of weighting, sampling and synthetic images the entry `name` or one it goes on from uses."""
    record = study.classifiers[name]
    own = [
        ("weighting", record.recipe.loss == "weighted_cross_entropy"),
        ("sampling", record.recipe.sampling == "balanced"),
        ("synthetic images", record.recipe.generator is not None),
    ]
    used = {technique for technique, uses in own if uses}
    parent = _parent(record)
    if parent in study.classifiers:
        used |= set(techniques(study, parent))
    return [technique for technique, _ in own if technique in used]


def images_drawn(study: Recorded, name: str) -> int:
    """The images that the entry `name` saw in training, those of entries that it goes on from included."""
    record = study.classifiers[name]
    parent = _parent(record)
    return sum(record.recipe.draws) + (images_drawn(study, parent) if parent in study.classifiers else 0)


def from_random(study: Recorded, name: str) -> bool:
    """Whether the entry `name`, or the one it goes on from, starts from random weights."""
    record = study.classifiers[name]
    parent = _parent(record)
    return from_random(study, parent) if parent in study.classifiers else record.recipe.start == "random"


def _parent(record: ClassifierRecord) -> str:
    """The entry that this one goes on from; empty for none."""
    start = record.recipe.start
    return start.removeprefix("parent ") if start.startswith("parent ") else ""
