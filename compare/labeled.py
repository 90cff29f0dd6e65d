"""Images whose class is known: what versions are asked and scored on. Here: a study's own test split."""

import csv
import hashlib
import json
from dataclasses import dataclass

import numpy as np

from lesions.index import DataError, ImageSource, Index
from lesions.labels import CLASSES
from lesions.sources.ham10000 import Ham10000
from zoo.study import Folders

OWN = "the study's test split"

LEARNT = ("train", "valid")
"""The parts of a split that a study has seen; what it left out, it has not."""


@dataclass(frozen=True)
class LabeledImages:
    """n images with their classes and lesions, and where to read them."""

    name: str
    """What they are, for people."""
    index: Index
    source: ImageSource
    digest: str
    """Sha256 (hex) of what was asked: answers to other images are of no use."""
    split_sha256: str | None = None
    """Of the study's split, if the images are its test part."""
    left_out: tuple[str, ...] = ()
    """What could not be used, as `name: reason`."""


def held_out_images(folders: Folders) -> LabeledImages:
    """The test part of the study's split. Raises `DataError` or `StudyError` where study, split or images are gone."""
    study = folders.read()
    try:
        content = folders.split.read_bytes()
        store_sha256 = json.loads(folders.described.read_bytes())["store_sha256"]
    except FileNotFoundError as error:
        raise DataError(f"no {error.filename}; the study was never made: make zoo") from None
    except (ValueError, LookupError, TypeError):
        raise DataError(f"{folders.described} is damaged; run `make zoo` again") from None
    rows = [row for row in csv.DictReader(content.decode().splitlines()) if row["part"] == "test"]
    data = Ham10000(folders.source(study))
    if gone := {row["image"] for row in rows}.difference(data.index.images):
        raise DataError(
            f"{data.source} lacks {len(gone)} images of the test split, {min(gone)} first; were the data replaced?"
        )
    split_sha256 = hashlib.sha256(content).hexdigest()
    index = Index(
        tuple(row["image"] for row in rows),
        np.array([CLASSES.index(row["label"]) for row in rows], dtype=np.int64),
        tuple(row["lesion"] for row in rows),
    )
    return LabeledImages(
        OWN, index, data, hashlib.sha256(f"{split_sha256} {store_sha256}".encode()).hexdigest(), split_sha256
    )


def images_seen_in_training(folders: Folders) -> frozenset[str]:
    """The images that the study trained on or chose by: they are no test. Raises `DataError` where it has no split."""
    try:
        with folders.split.open(encoding="utf-8", newline="") as lines:
            return frozenset(row["image"] for row in csv.DictReader(lines) if row["part"] in LEARNT)
    except FileNotFoundError as error:
        raise DataError(f"no {error.filename}; the study was never made: make zoo") from None
