"""The index of a data set: names, classes and lesions of its images, and whose they are as far as that is known."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesions.errors import UserError


class DataError(UserError):
    """Data that cannot be used."""


class Row(NamedTuple):
    """One image."""

    image: str
    label: int
    """The number of its class, in the order of `lesions.labels.CLASSES`."""
    lesion: str
    age: float = nan
    """Years; nan where it is not known."""
    sex: str = ""
    """As the table has it, in lower case; empty where it is not known, as `site`."""
    site: str = ""


@dataclass(frozen=True)
class Index:
    """n images with their classes and lesions."""

    images: tuple[str, ...]  # names [n], each once
    labels: NDArray[np.int64]  # class numbers [n], 0 to 6, in the order of `lesions.labels.CLASSES`
    lesions: tuple[str, ...]  # names [n]; a lesion may have several images
    age: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # years [n], nan where not known
    sex: tuple[str, ...] = ()  # [n], empty where not known
    site: tuple[str, ...] = ()  # of the body [n], empty where not known

    def __post_init__(self) -> None:
        """Where nothing is given of the persons, nothing is known of them."""
        if not self.sex and self.images:
            object.__setattr__(self, "age", np.full(len(self.images), nan))
            object.__setattr__(self, "sex", ("",) * len(self.images))
            object.__setattr__(self, "site", ("",) * len(self.images))

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str] | Row]) -> "Index":
        """The index of `rows`: image name, class number, lesion name; in a `Row` also age, sex and site."""
        return cls._of([Row(*row) for row in rows])

    @classmethod
    def ordered(cls, rows: Iterable[Row]) -> "Index":
        """The index of `rows`, ordered by class, then by name."""
        return cls._of(sorted(rows, key=lambda row: (row.label, row.image)))

    @classmethod
    def _of(cls, rows: Sequence[Row]) -> "Index":
        return cls(
            tuple(row.image for row in rows),
            np.array([row.label for row in rows], dtype=np.int64),
            tuple(row.lesion for row in rows),
            np.array([row.age for row in rows], dtype=np.float64),
            tuple(row.sex for row in rows),
            tuple(row.site for row in rows),
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def of_ham10000(self) -> NDArray[np.bool_]:
        """Which images have names of HAM10000's, in any folders [n]: it has the numbers 24306 to 34320."""
        found = [re.fullmatch(r"ISIC_(\d{7})", PurePath(image).stem) for image in self.images]
        return np.array([match is not None and 24306 <= int(match[1]) <= 34320 for match in found], dtype=bool)

    def rows(self) -> list[Row]:
        """The images one by one."""
        columns = (self.images, self.labels.tolist(), self.lesions, self.age.tolist(), self.sex, self.site)
        return [Row(*row) for row in zip(*columns, strict=True)]

    def take(self, rows: NDArray[np.int64]) -> "Index":
        """The images at the positions `rows` [m], in that order."""
        everything = self.rows()
        return Index.of(everything[row] for row in rows)
