"""Served answers against those that training left behind: the same code, so the same probabilities."""

import csv
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from compare.answers import Answers
from lesions.index import DataError, Index
from lesions.labels import CLASSES

TOLERANCE = 1e-4
"""The largest difference of a probability that is taken for rounding."""


class Agreement(BaseModel):
    """How far served and offline probabilities are apart."""

    largest: float
    image: str
    """Where it is the largest."""

    @property
    def holds(self) -> bool:
        """Whether it is rounding."""
        return self.largest <= TOLERANCE


def agreement(predictions: Path, answers: Answers, index: Index) -> Agreement | None:
    """Compare `answers` with the file `predictions` that training wrote, over all images of `index`.

    None where the run is not on this machine. Raises `DataError` where its predictions lack an image, or are damaged.
    """
    if not predictions.is_file():
        return None
    try:
        with predictions.open(encoding="utf-8", newline="") as lines:
            offline = {row["image"]: [float(row[name]) for name in CLASSES] for row in csv.DictReader(lines)}
    except (ValueError, LookupError, TypeError, csv.Error):
        raise DataError(f"{predictions} is damaged; make it again: make zoo") from None
    if lacking := [image for image in index.images if image not in offline]:
        raise DataError(f"{predictions} lacks {len(lacking)} test images, {lacking[0]} first; make it again: make zoo")
    wanted = np.array([offline[image] for image in index.images])
    apart = np.abs(answers.predictions(index).probabilities - wanted).max(1)
    worst = int(apart.argmax())
    return Agreement(largest=float(apart[worst]), image=index.images[worst])
