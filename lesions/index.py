"""What is known of a set of images: names, classes, lesions; and what can be read by name."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lesions.errors import UserError


class DataError(UserError):
    """Data that cannot be used."""


@dataclass(frozen=True)
class Index:
    """n images with their classes and lesions."""

    images: tuple[str, ...]
    """Image names, n of them, each once."""
    labels: NDArray[np.int64]
    """Class numbers [n], 0 to 6, in the order of `lesions.labels.CLASSES`."""
    lesions: tuple[str, ...]
    """Lesion names, n of them; a lesion may have several images."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> "Index":
        """The images at the positions `rows` [m], in that order."""
        images, lesions = (tuple(names[row] for row in rows) for names in (self.images, self.lesions))
        return Index(images, self.labels[rows], lesions)


class ImageSource(Protocol):
    """Labeled images that can be read by name."""

    index: Index

    def read(self, image: str) -> bytes:
        """The bytes of an image file. Raises `DataError` where it cannot be read."""

    def where(self, image: str) -> str:
        """Where the image comes from, for an error message."""
