"""Served answers against the committed records: is what is served what docs/results.md is of?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from compare.answers import Answers
from compare.offline import TOLERANCE
from compare.records.record import DECIMALS, RESULTS, ClassifierRecord, RecordError, load
from lesions.index import Index


class Published(BaseModel):
    """One version beside its record."""

    entry: str
    macro_f1: float | None
    """The record's; none where the record cannot be read."""
    largest: float | None
    """The largest difference of a probability, over all images; none where the record is of other weights or images."""
    problem: str = ""
    """Why the record cannot be read."""

    @property
    def is_same(self) -> bool:
        """Whether the version answers as recorded: up to rounding, here and in the record."""
        return self.largest is not None and self.largest <= TOLERANCE + 0.5 * 10.0 ** -min(DECIMALS)

    @property
    def contradicts(self) -> bool:
        """Whether the record is of the same weights and images, and of other answers."""
        return self.largest is not None and not self.is_same


def published(root: Path, study: str, name: str, answers: Answers, index: Index) -> Published | None:
    """Compare `answers` with the record of the entry `name` in the checkout `root`; none where there is none."""
    file = root / RESULTS / study / f"{name}.json"
    if not file.is_file():
        return None
    try:
        record = load(file)
    except RecordError as error:
        return Published(entry=name, macro_f1=None, largest=None, problem=str(error))
    if not isinstance(record, ClassifierRecord):
        return None
    recorded = {one.image: one.probabilities for one in record.images}
    largest = None
    if record.weights_sha256 == answers.described["weights_sha256"] and set(recorded) == set(index.images):
        wanted = np.array([recorded[image] for image in index.images])
        largest = float(np.abs(answers.predictions(index).probabilities - wanted).max())
    return Published(entry=name, macro_f1=record.test.macro_f1, largest=largest)


def beside(scored: Sequence[tuple[float, Published | None]]) -> list[str]:
    """What versions, by their macro F1 as served and their records, are beside the records: some lines for people."""
    there = [(score, one) for score, one in scored if one is not None]
    same = [(score - (one.macro_f1 or 0), one.largest or 0) for score, one in there if one.is_same]
    lines = []
    if same:
        apart, far = max(abs(difference) for difference, _ in same), max(largest for _, largest in same)
        lines.append(
            f"docs/results: {len(same)} of {len(scored)} versions answer as recorded there; "
            f"macro F1 differs by {apart:.1e} at most, probabilities, rounded there, by {far:.1e}"
        )
    for score, one in there:
        if one.problem:
            lines.append(f"docs/results: {one.problem}")
        elif one.largest is None:
            lines.append(
                f"docs/results: {one.entry} was recorded of other weights or images: "
                f"macro F1 {one.macro_f1:.3f} there, {score:.3f} here"
            )
    return lines
