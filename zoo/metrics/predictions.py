"""The table of a classifier's predictions, `predictions.csv`: written by training, read by everything else."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesions.files import atomic_write
from lesions.index import DataError, Index
from lesions.labels import CLASSES
from lesions.split import PART_NAMES


class PredictionTable(NamedTuple):
    """Predictions of n images, validation and test."""

    images: tuple[str, ...]
    """Image names."""
    parts: tuple[str, ...]
    """Each image's part of the split, `valid` or `test`."""
    labels: NDArray[np.int64]
    """True classes [n], in the order of `lesions.labels.CLASSES`."""
    probabilities: NDArray[np.float64]
    """Calibrated probabilities [n, 7], 0 to 1, seven decimals."""

    def part(self, name: str) -> "PredictionTable":
        """The rows of one part of the split."""
        rows = [row for row, part in enumerate(self.parts) if part == name]
        images, parts = (tuple(names[row] for row in rows) for names in (self.images, self.parts))
        return PredictionTable(images, parts, self.labels[rows], self.probabilities[rows])


def write(file: Path, index: Index, parts: NDArray[np.int64], probabilities: NDArray[np.floating]) -> None:
    """Write the predictions of all images of `index`; `parts` [n] are numbered as in `lesions.split.PART_NAMES`."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")  # names of files may have commas
    writer.writerow(("image", "part", "label", *CLASSES))
    for image, part, label, row in zip(index.images, parts, index.labels, probabilities, strict=True):
        writer.writerow((image, PART_NAMES[part], CLASSES[label], *(f"{value:.7f}" for value in row)))
    atomic_write(file, table.getvalue())


def read(file: Path) -> PredictionTable:
    """The table in `file`. Raises `DataError` where there is none, or it is damaged."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        return PredictionTable(
            tuple(row["image"] for row in rows),
            tuple(row["part"] for row in rows),
            np.array([CLASSES.index(row["label"]) for row in rows], dtype=np.int64),
            np.array([[float(row[name]) for name in CLASSES] for row in rows], dtype=np.float64),
        )
    except FileNotFoundError:
        raise DataError(f"no {file}; first: make zoo") from None
    except (ValueError, LookupError, TypeError, csv.Error):
        raise DataError(f"{file} is damaged; run `make zoo` again") from None
