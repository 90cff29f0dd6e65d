"""Which images train, which choose and which test: 70 / 15 / 15, by lesion (the default) or as the thesis did.

The thesis's split leaks: test images have siblings, images of the same lesion, in training. What that is worth is
measured by training without those siblings, a third split, whose validation and test images are the thesis's.
"""

import csv
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lesions.files import write_if_changed
from lesions.index import DataError, Index
from lesions.labels import CLASSES

PARTS = ("train", "valid", "test")
"""The parts of a split, in the order of their numbers."""

LEFT_OUT = len(PARTS)
"""The number of images that belong to no part: siblings of test images, in `thesis_without_siblings`."""

PART_NAMES = (*PARTS, "left out")
"""What `write` calls the numbers."""

SplitName = Literal["lesion", "thesis", "thesis_without_siblings"]
"""The splits, by name."""

SHARES = (0.70, 0.15, 0.15)
"""The share of each part."""

SEED = 123
"""The seed of both splits: a study's own SEED never moves an image, so that repeats over seeds can be compared."""


def split(index: Index, how: SplitName) -> NDArray[np.int64]:
    """The part of each of n images, int64 [n], numbered as in `PART_NAMES`.

    Raises `DataError` where a part lacks a class.
    """
    parts = by_lesion(index) if how == "lesion" else thesis(len(index))
    if how == "thesis_without_siblings":
        parts = without_siblings(index, parts)
    for number, part in enumerate(PARTS):
        counts = np.bincount(index.labels[parts == number], minlength=len(CLASSES))
        if lacking := [name for name, count in zip(CLASSES, counts, strict=True) if count == 0]:
            raise DataError(f"too few images or lesions: none of {', '.join(lacking)} for the {part} split")
    return parts


def thesis(count: int) -> NDArray[np.int64]:
    """The thesis's split of `count` images in ImageFolder order, int64 [count]: by image, so that lesions leak."""
    order = list(range(count))
    np.random.RandomState(SEED).shuffle(order)
    parts = np.zeros(count, dtype=np.int64)
    parts[order[: math.floor(0.15 * count)]] = PARTS.index("test")
    parts[order[math.floor(0.15 * count) : math.floor(0.30 * count)]] = PARTS.index("valid")
    return parts


def without_siblings(index: Index, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`parts` [n], but every training image whose lesion has a test image is left out, int64 [n].

    Validation stays as it is, so that the two trainings differ in nothing but what they learn from.
    """
    tested = {lesion for lesion, part in zip(index.lesions, parts, strict=True) if part == PARTS.index("test")}
    sibling = np.array([lesion in tested for lesion in index.lesions], dtype=np.bool_)
    return np.where(sibling & (parts == PARTS.index("train")), LEFT_OUT, parts)


def by_lesion(index: Index) -> NDArray[np.int64]:
    """Split by lesion, stratified by class and by the number of a lesion's images, int64 [n].

    Class by class, lesions in random order, those with most images first, go to whichever part is furthest behind
    its share. So every part gets its share of the lesions that were photographed several times (they are no random
    sample: 21 % melanoma against 7 %), and single images even out the counts at the end.
    """
    random = np.random.default_rng(SEED)
    members: dict[str, list[int]] = {}
    for position, lesion in enumerate(index.lesions):
        members.setdefault(lesion, []).append(position)
    # A lesion is stratified by its first image's class; in HAM10000 all images of a lesion have one class.
    by_class: list[list[list[int]]] = [[] for _ in CLASSES]
    for positions in members.values():
        by_class[index.labels[positions[0]]].append(positions)
    parts = np.zeros(len(index), dtype=np.int64)
    for lesions in by_class:
        wanted = np.array(SHARES) * sum(map(len, lesions))
        filled = np.zeros(len(PARTS))
        for positions in sorted((lesions[i] for i in random.permutation(len(lesions))), key=len, reverse=True):
            part = int(np.argmin((filled + len(positions) / 2) / np.maximum(wanted, 1e-9)))
            parts[positions] = part
            filled[part] += len(positions)
    return parts


def write(file: Path, index: Index, parts: NDArray[np.int64]) -> str:
    """Write `image,lesion,label,part` line by line, unless `file` says so already; return its sha256 (hex)."""
    lines = [("image", "lesion", "label", "part")]
    lines += [
        (image, lesion, CLASSES[label], PART_NAMES[part])
        for image, lesion, label, part in zip(index.images, index.lesions, index.labels, parts, strict=True)
    ]
    content = "".join(f"{','.join(line)}\n" for line in lines)
    write_if_changed(file, content)
    return hashlib.sha256(content.encode()).hexdigest()


def digest(file: Path) -> str | None:
    """The sha256 (hex) of a file that `write` wrote; none if it is not there."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


@dataclass(frozen=True)
class Split:
    """A split as it was written: n images and their parts."""

    index: Index
    parts: NDArray[np.int64]
    """The part of each image [n], numbered as in `PART_NAMES`."""

    def part(self, name: str) -> Index:
        """The images of one part, by its name."""
        return self.index.take(np.flatnonzero(self.parts == PART_NAMES.index(name)))


def load(file: Path) -> Split:
    """The split in a `file` that `write` wrote. Raises `DataError` where there is none, or it is damaged."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        labels = np.array([CLASSES.index(row["label"]) for row in rows], dtype=np.int64)
        index = Index(tuple(row["image"] for row in rows), labels, tuple(row["lesion"] for row in rows))
        return Split(index, np.array([PART_NAMES.index(row["part"]) for row in rows], dtype=np.int64))
    except FileNotFoundError:
        raise DataError(f"no {file}; first: make zoo") from None
    except (ValueError, LookupError, TypeError, csv.Error):
        raise DataError(f"{file} is damaged; run `make zoo` again") from None


def read(file: Path, images: tuple[str, ...]) -> NDArray[np.int64]:
    """The part of each of `images`, int64 [n], from a file that `write` wrote. Raises `DataError` if they differ."""
    loaded = load(file)
    if loaded.index.images != images:
        raise DataError(f"{file} splits other images than those in the cache; run `make zoo` again")
    return loaded.parts
