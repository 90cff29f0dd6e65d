"""Served answers against the committed records: is what is served what docs/results.md is of?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from compare.answers import Answers
from compare.offline import TOLERANCE
from compare.records.record import DECIMALS, RESULTS, ClassifierRecord, load
from lesions.ham10000 import Index


class Published(BaseModel):
    """One version beside its record."""

    entry: str
    macro_f1: float
    """The record's."""
    largest: float | None
    """The largest difference of a probability, over all images; none where the record is of other weights or images."""

    @property
    def holds(self) -> bool:
        """Whether it is rounding, here and in the record."""
        return self.largest is None or self.largest <= TOLERANCE + 0.5 * 10.0 ** -min(DECIMALS)


def published(root: Path, study: str, name: str, answers: Answers, index: Index) -> Published | None:
    """Compare `answers` with the record of the entry `name` in the checkout `root`; none where there is none.

    Raises `RecordError` where the record is damaged.
    """
    file = root / RESULTS / study / f"{name}.json"
    if not file.is_file():
        return None
    record = load(file)
    if not isinstance(record, ClassifierRecord):
        return None
    told = {one.image: one.probabilities for one in record.images}
    largest = None
    if record.weights_sha256 == answers.described["weights_sha256"] and set(told) == set(index.images):
        wanted = np.array([told[image] for image in index.images])
        largest = float(np.abs(answers.predictions(index).probabilities - wanted).max())
    return Published(entry=name, macro_f1=record.test.macro_f1, largest=largest)


def told(scored: Sequence[tuple[float, Published | None]]) -> list[str]:
    """What versions, by their macro F1 as served and their records, are beside the records: some lines for people."""
    same = [(score, one, one.largest) for score, one in scored if one is not None and one.largest is not None]
    lines = []
    if same:
        apart, far = max(abs(score - one.macro_f1) for score, one, _ in same), max(far for *_, far in same)
        lines.append(
            f"docs/results: {len(same)} of {len(scored)} versions are those recorded there; "
            f"macro F1 differs by {apart:.1e} at most, probabilities, rounded there, by {far:.1e}"
        )
    return lines + [
        f"docs/results: {one.entry} was recorded of other weights or images: "
        f"macro F1 {one.macro_f1:.3f} there, {score:.3f} here"
        for score, one in scored
        if one is not None and one.largest is None
    ]
