"""One version's drift, hour by hour."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gateway.drift import measures
from gateway.drift.answers import Answers
from gateway.drift.measures import Shift
from lesions.index import DataError
from lesions.labels import CLASSES
from zoo.metrics import predictions
from zoo.models.features import FeatureReference
from zoo.models.session import ModelError, read_archive
from zoo.study import Folders

HOUR = 3600
LEAST = 50
"""Answers of an hour; with fewer it is not judged."""
LARGE = 0.25
"""A population stability index from which on one warns: a rule of thumb of credit scoring, as is 0.1 for "look"."""
LEVEL = 0.01
"""The chance, at most, that chance brings a warning: divided by all hours and quantities."""


class Validation(NamedTuple):
    """What a version predicted of validation."""

    labels: NDArray[np.int64]
    confidences: NDArray[np.float64]
    """Of the predicted class."""
    distances: NDArray[np.floating] | None
    """Of the features; none where the archive has no reference."""
    since: float = 0.0
    """When these predictions were made (seconds since 1970, UTC): answers from before are of other weights."""


class Span(BaseModel):
    """One hour, or all of them."""

    model_config = ConfigDict(frozen=True)

    start: float
    """Seconds since 1970, UTC."""
    answers: int
    shifts: dict[str, Shift]
    """By quantity; empty where there are fewer than `LEAST` answers."""
    drifted: list[str]
    """Quantities whose shift is both large and not by chance."""


class Drift(BaseModel):
    """One version's."""

    model_config = ConfigDict(frozen=True)

    version: str
    images: int
    """Of validation."""
    quantities: list[str]
    hours: list[Span]
    total: Span
    """All hours together."""

    @property
    def warnings(self) -> list[str]:
        """Lines for people."""
        lines = []
        for quantity in self.quantities:
            if hours := [span for span in self.hours if quantity in span.drifted]:
                worst = max(hours, key=lambda span: span.shifts[quantity].psi)
                when = datetime.fromtimestamp(worst.start, UTC).strftime("%Y-%m-%d %H:%M UTC")
                many = f"{len(hours)} of {len(self.hours)} hours, most at {when}" if len(hours) > 1 else when
                lines.append(f"{self.version}: {quantity} unlike those of validation: {many}")
            elif quantity in self.total.drifted:
                lines.append(f"{self.version}: {quantity} unlike those of validation, over all hours")
        return lines


def validation(folders: Folders, version: str) -> Validation:
    """What `version` of a study predicted of validation. Raises `DataError` or `ModelError` where that is not there."""
    file = folders.run(version) / "predictions.csv"
    table = predictions.read(file).part("valid")
    if len(table.images) < LEAST:
        raise DataError(f"{version}: {len(table.images)} validation images are too few to compare with")
    archive = folders.archives / f"{version}.mar"
    if not archive.is_file():
        raise ModelError(f"no {archive}; first: make zoo")
    reference = FeatureReference.from_entry(read_archive(archive)[0])
    labels, confidences = table.probabilities.argmax(1), table.probabilities.max(1)
    distances = None if reference is None else reference.distances
    return Validation(labels, confidences, distances, file.stat().st_mtime)


def measure(version: str, answers: Answers, valid: Validation) -> Drift:
    """The drift of `answers` of one version."""
    numbers = np.floor(answers.times / HOUR).astype(np.int64)
    starts = np.unique(numbers)
    has_distances = valid.distances is not None and bool(np.isfinite(answers.distances).any())
    quantities = ["labels", "confidences", *(["distances"] if has_distances else [])]
    level = LEVEL / (len(quantities) * (len(starts) + 1))
    spans = [_span(answers.take(numbers == start), float(start) * HOUR, valid, quantities, level) for start in starts]
    first = float(starts[0]) * HOUR if len(starts) else 0.0
    total = _span(answers, first, valid, quantities, level)
    return Drift(version=version, images=len(valid.labels), quantities=quantities, hours=spans, total=total)


def _span(answers: Answers, start: float, valid: Validation, quantities: list[str], level: float) -> Span:
    shifts: dict[str, Shift] = {}
    if len(answers.times) >= LEAST:
        shifts["labels"] = measures.classes(valid.labels, answers.labels, len(CLASSES))
        shifts["confidences"] = measures.values(valid.confidences, answers.confidences)
        distances = answers.distances[np.isfinite(answers.distances)]
        if "distances" in quantities and valid.distances is not None and len(distances) >= LEAST:
            shifts["distances"] = measures.values(valid.distances, distances)
    drifted = [name for name, shift in shifts.items() if shift.psi >= LARGE and shift.p <= level]
    return Span(start=start, answers=len(answers.times), shifts=shifts, drifted=drifted)
