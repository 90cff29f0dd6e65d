"""Split the images into training, validation and test: by lesion (the default), as in the thesis, or in five folds.

The first two have 70, 15 and 15 % of the images; each of the folds has 72, 8 and 20 %.

The thesis's split leaks: test images have siblings in training, which are images of the same lesion. The third split
leaves those siblings out of training and keeps the thesis's validation and test images: it measures what the leak adds.
"""

import csv
import hashlib
import io
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lesions.files import sha256, write_if_changed
from lesions.index import DataError, Index
from lesions.labels import CLASSES

PARTS = ("train", "valid", "test")
"""The parts of a split, in the order of their numbers."""
PART_NAMES = (*PARTS, "left out")
"""Names of the part numbers. Left out are siblings of test images, in `thesis_without_siblings`."""
LEFT_OUT = len(PARTS)
SplitName = Literal["lesion", "thesis", "thesis_without_siblings", "fold1", "fold2", "fold3", "fold4", "fold5"]
"""Names of the splits."""
FOLDS = 5
"""Splits of which each tests on a fifth of the images; together they test on each image once."""
SHARES = (0.70, 0.15, 0.15)
"""The share of each of `PARTS`."""
SEED = 123
"""The seed of every split. A study's SEED moves no image to another part, so runs with other seeds can be compared."""


def split(index: Index, name: SplitName) -> NDArray[np.int64]:
    """The part of each image of `index`, int64 [n], numbered as in `PART_NAMES`.

    Raises `DataError` where a part lacks a class, or there are too few images for folds.
    """
    if (number := fold_number(name)) is not None:
        parts = fold(index, number)
    else:
        parts = by_lesion(index) if name == "lesion" else thesis(len(index))
    if name == "thesis_without_siblings":
        parts = without_siblings(index, parts)
    for number, part in enumerate(PARTS):
        labels = index.labels[parts == number]
        if missing := [name for label, name in enumerate(CLASSES) if label not in labels]:
            raise DataError(f"too few images or lesions: none of {', '.join(missing)} for the {part} split")
    return parts


def thesis(count: int) -> NDArray[np.int64]:
    """The thesis's split of `count` images in the order of ImageFolder, int64 [count]: by image, so lesions leak."""
    order = np.random.RandomState(SEED).permutation(count)
    test, valid, _ = np.split(order, [math.floor(0.15 * count), math.floor(0.30 * count)])
    parts = np.zeros(count, dtype=np.int64)
    parts[test], parts[valid] = PARTS.index("test"), PARTS.index("valid")
    return parts


def without_siblings(index: Index, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`parts` [n], but with each training image left out whose lesion has a test image, int64 [n].

    Validation stays as it is, so that two trainings differ only in their training images.
    """
    lesions = np.array(index.lesions)
    siblings = np.isin(lesions, lesions[parts == PARTS.index("test")])
    return np.where(siblings & (parts == PARTS.index("train")), LEFT_OUT, parts)


def by_lesion(index: Index) -> NDArray[np.int64]:
    """Split by lesion, stratified by class and by the number of images of a lesion, int64 [n].

    In each class the lesions are shuffled and sorted, those with most images first. Each one goes to the part that
    lacks most of its share. So every part gets its share of the lesions with several images, which are no random
    sample (21 % of them are melanoma, of the others 7 %); lesions with one image make the counts even at the end.
    """
    rng = np.random.default_rng(SEED)
    members = defaultdict[str, list[int]](list)
    for position, lesion in enumerate(index.lesions):
        members[lesion].append(position)
    parts = np.zeros(len(index), dtype=np.int64)
    for label in range(len(CLASSES)):
        # A lesion is stratified by its first image's class; in HAM10000 all images of a lesion have one class.
        lesions = [positions for positions in members.values() if index.labels[positions[0]] == label]
        target, filled = np.array(SHARES) * sum(map(len, lesions)), np.zeros(len(PARTS))
        for positions in sorted((lesions[i] for i in rng.permutation(len(lesions))), key=len, reverse=True):
            part = int(np.argmin((filled + len(positions) / 2) / np.maximum(target, 1e-9)))
            parts[positions] = part
            filled[part] += len(positions)
    return parts


def fold_number(name: SplitName) -> int | None:
    """The number (1 to `FOLDS`) of the fold that a split tests on; none for splits that are no folds."""
    return int(name.removeprefix("fold")) if name.startswith("fold") else None


def fold(index: Index, number: int) -> NDArray[np.int64]:
    """Test on fold `number` (from 1) of `FOLDS`, validate on a tenth of the rest, train on what is left, int64 [n].

    Folds are stratified by class; images of one lesion stay together.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # here: it takes a second, which other splits need not

    def folds(rows: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
        labels, lesions = index.labels[rows], np.array(index.lesions)[rows]
        if min(np.bincount(labels).max(), len(set(lesions))) < count:
            raise DataError(f"too few images or lesions for {count} folds")
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=SEED)
        return [rows[held_out] for _, held_out in splitter.split(labels, labels, lesions)]

    parts = np.zeros(len(index), dtype=np.int64)
    parts[folds(np.arange(len(index)), FOLDS)[number - 1]] = PARTS.index("test")
    parts[folds(np.flatnonzero(parts == 0), 10)[0]] = PARTS.index("valid")
    return parts


def write(file: Path, index: Index, parts: NDArray[np.int64]) -> str:
    """Write a CSV of image, lesion, label and part, unless `file` holds it already; return its sha256 (hex)."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")  # names of files may have commas
    writer.writerow(("image", "lesion", "label", "part"))
    for row, part in zip(index.rows(), parts, strict=True):
        writer.writerow((row.image, row.lesion, CLASSES[row.label], PART_NAMES[part]))
    content = table.getvalue()
    write_if_changed(file, content)
    return hashlib.sha256(content.encode()).hexdigest()


def digest(file: Path) -> str | None:
    """The sha256 (hex) of a file that `write` wrote; none if there is no file."""
    return sha256(file) if file.is_file() else None


@dataclass(frozen=True)
class Split:
    """n images and their parts."""

    index: Index
    parts: NDArray[np.int64]  # of each image [n], numbered as in `PART_NAMES`

    def part(self, name: str) -> Index:
        """The images of one part, by its name."""
        return self.index.take(np.flatnonzero(self.parts == PART_NAMES.index(name)))


def load(file: Path) -> Split:
    """Load the split in a `file` that `write` wrote. Raises `DataError` where there is none, or it is damaged."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        index = Index.of((row["image"], CLASSES.index(row["label"]), row["lesion"]) for row in rows)
        return Split(index, np.array([PART_NAMES.index(row["part"]) for row in rows], dtype=np.int64))
    except FileNotFoundError:
        raise DataError(f"no {file}; first: make zoo") from None
    except (ValueError, LookupError, TypeError, csv.Error):
        raise DataError(f"{file} is damaged; run `make zoo` again") from None


def read(file: Path, images: tuple[str, ...]) -> NDArray[np.int64]:
    """Load the part of each of `images`, int64 [n], from `file`. Raises `DataError` where it splits other images."""
    loaded = load(file)
    if loaded.index.images != images:
        raise DataError(f"{file} splits other images than those in the cache; run `make zoo` again")
    return loaded.parts
