"""Labeled images on which versions are scored: a study's own test split, or an external test set (TEST=)."""

import hashlib
import json
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lesions import split
from lesions.files import sha256
from lesions.images import UnreadableImage, decode
from lesions.index import DataError, Index
from lesions.labels import CLASSES
from lesions.sources import open_source
from lesions.sources.folders import ClassFolders, ImageFiles
from lesions.sources.isic import IsicTable
from zoo.study import Folders

OWN = "the study's test split"
FORMS = f"a folder with subfolders named {', '.join(CLASSES)}; or a .csv with the columns image, MEL, NV, ..., VASC"
"""What TEST may be."""


@dataclass(frozen=True)
class LabeledImages:
    """n images with their classes and lesions, and their source."""

    name: str
    """What they are, for people."""
    index: Index
    source: ImageFiles
    digest: str
    """Sha256 (hex) of these images: answers to other images are of no use."""
    split_sha256: str | None = None
    """Of the study's split, if the images are its test part."""
    left_out: tuple[str, ...] = ()
    """Images that cannot be used, as `name: reason`."""


def held_out_images(folders: Folders) -> LabeledImages:
    """The test part of the study's split. Raises `DataError` or `StudyError` where study, split or images are gone."""
    study = folders.read()
    index = split.load(folders.split).part("test")
    try:
        store_sha256 = json.loads(folders.data.read_bytes())["store_sha256"]
    except FileNotFoundError as error:
        raise DataError(f"no {error.filename}; first: make zoo") from None
    except (ValueError, LookupError, TypeError):
        raise DataError(f"{folders.data} is damaged; run `make zoo` again") from None
    source = open_source(folders.source(study))
    if missing := set(index.images).difference(source.index.images):
        lacks = f"{len(missing)} images of the test split, {min(missing)} first"
        raise DataError(f"{source.path} lacks {lacks}; were the data replaced?")
    split_sha256 = sha256(folders.split)
    digest = hashlib.sha256(f"{split_sha256} {store_sha256}".encode()).hexdigest()
    return LabeledImages(OWN, index, source, digest, split_sha256)


def images_seen_in_training(folders: Folders) -> frozenset[str]:
    """The images that the study trained on or chose by: they are no test. Raises `DataError` where it has no split.

    Images that the split leaves out are not among them.
    """
    parts = split.load(folders.split)
    return frozenset(parts.part("train").images + parts.part("valid").images)


def external_images(path: Path, seen: Collection[str], strict: bool = False) -> LabeledImages:
    """The labeled images at `path`, class folders or ISIC's table; `seen` are the images that training has seen.

    An image of no class or of an unknown one, an unreadable one, and one that is `seen`, is left out; with `strict`
    it is a `DataError`. So is a path of neither form, and one of which no image is left.
    """
    if not path.exists():
        raise DataError(f"TEST={path}: no such file or folder; it is {FORMS}")
    try:
        source = IsicTable(path) if path.is_file() else ClassFolders(path)
    except DataError as error:
        raise DataError(f"{error}; TEST is {FORMS}") from None
    images = source.index.images
    with ThreadPoolExecutor() as pool:
        checks = pool.map(lambda image: _reason_to_leave_out(source, image, seen), images)
        reasons = list(tqdm(checks, "reading", len(images), unit="image", disable=None))
    left_out = source.left_out + [f"{image}: {reason}" for image, reason in zip(images, reasons, strict=True) if reason]
    index = source.index.take(np.flatnonzero([reason is None for reason in reasons]))
    if left_out and (strict or not index.images):
        lines = "\n".join(f"  {line}" for line in left_out)
        raise DataError(f"{path}: {len(left_out)} images cannot be used:\n{lines}")
    stats = [os.stat(source.where(image)) for image in index.images]
    rows = zip(index.images, index.labels.tolist(), index.lesions, stats, strict=True)
    stamps = [(image, label, lesion, stat.st_size, stat.st_mtime_ns) for image, label, lesion, stat in rows]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
    return LabeledImages(path.name, index, source, digest, left_out=tuple(left_out))


def _reason_to_leave_out(source: ImageFiles, image: str, seen: Collection[str]) -> str | None:
    """The reason why an image cannot be used; none if it can."""
    if source.files[image].stem in seen:
        return "the study has trained on it, or chosen by it"
    try:
        decode(source.files[image].read_bytes())
    except UnreadableImage as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return None
