"""The index of a data set: names, classes and lesions of its images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesions.errors import UserError


class DataError(UserError):
    """Data that cannot be used."""


@dataclass(frozen=True)
class Index:
    """n images with their classes and lesions."""

    images: tuple[str, ...]  # names [n], each once
    labels: NDArray[np.int64]  # class numbers [n], 0 to 6, in the order of `lesions.labels.CLASSES`
    lesions: tuple[str, ...]  # names [n]; a lesion may have several images

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str]]) -> "Index":
        """The index of `rows`: image name, class number, lesion name."""
        rows = list(rows)
        labels = np.array([label for _, label, _ in rows], dtype=np.int64)
        return cls(tuple(image for image, _, _ in rows), labels, tuple(lesion for _, _, lesion in rows))

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> "Index":
        """The images at the positions `rows` [m], in that order."""
        images, lesions = (tuple(names[row] for row in rows) for names in (self.images, self.lesions))
        return Index(images, self.labels[rows], lesions)
