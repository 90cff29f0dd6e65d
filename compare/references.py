"""Compare served probabilities with references: those that training wrote, and those of the committed records."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from compare.answers import Answers
from compare.records.record import DECIMALS, RESULTS, ClassifierRecord, RecordError, load
from lesions.index import DataError, Index
from zoo.metrics import predictions

TOLERANCE = 1e-4
"""The largest difference of a probability that is taken for rounding."""


class Agreement(BaseModel):
    """How far served and reference probabilities are apart."""

    largest: float
    """The largest difference of a probability, over all images."""
    image: str
    """Where it is."""

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding."""
        return self.largest <= TOLERANCE


class Published(BaseModel):
    """One version beside its committed record."""

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


def compare_offline(file: Path, answers: Answers, index: Index) -> Agreement | None:
    """Compare `answers` with the predictions in `file` that training wrote, over all images of `index`.

    None where the run is not on this machine. Raises `DataError` where `file` lacks an image, or is damaged.
    """
    if not file.is_file():
        return None
    table = predictions.read(file)
    reference = dict(zip(table.images, table.probabilities.tolist(), strict=True))
    if missing := [image for image in index.images if image not in reference]:
        raise DataError(f"{file} lacks {len(missing)} test images, {missing[0]} first; make it again: make zoo")
    return _agreement(answers, index, reference)


def compare_record(root: Path, study: str, name: str, answers: Answers, index: Index) -> Published | None:
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
    reference = {image.image: image.probabilities for image in record.images}
    is_comparable = record.weights_sha256 == answers.described["weights_sha256"] and set(reference) == set(index.images)
    largest = _agreement(answers, index, reference).largest if is_comparable else None
    return Published(entry=name, macro_f1=record.test.macro_f1, largest=largest)


def _agreement(answers: Answers, index: Index, reference: Mapping[str, Sequence[float]]) -> Agreement:
    """Compare `answers` with the `reference` probabilities [7] of each image of `index`."""
    probabilities = np.array([reference[image] for image in index.images])
    differences = np.abs(answers.predictions(index).probabilities - probabilities).max(1)
    row = int(differences.argmax())
    return Agreement(largest=float(differences[row]), image=index.images[row])


def record_messages(scored: Iterable[tuple[float, Published | None]]) -> list[str]:
    """Lines for people on how versions compare with their records; each is given by its macro F1 as served."""
    scored = list(scored)
    recorded = [(macro_f1, published) for macro_f1, published in scored if published is not None]
    same = [(macro_f1 - (record.macro_f1 or 0), record.largest or 0) for macro_f1, record in recorded if record.is_same]
    lines = []
    if same:
        score, probability = max(abs(difference) for difference, _ in same), max(largest for _, largest in same)
        lines.append(
            f"docs/results: {len(same)} of {len(scored)} versions answer as recorded there; "
            f"macro F1 differs by {score:.1e} at most, probabilities, rounded there, by {probability:.1e}"
        )
    for macro_f1, published in recorded:
        if published.problem:
            lines.append(f"docs/results: {published.problem}")
        elif published.largest is None:
            lines.append(
                f"docs/results: {published.entry} was recorded of other weights or images: "
                f"macro F1 {published.macro_f1:.3f} there, {macro_f1:.3f} here"
            )
    return lines
