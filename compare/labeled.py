"""Labeled images on which versions are scored: a study's own test split, or an external test set (TEST=)."""

import hashlib
import json
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lesions import split
from lesions.files import sha256
from lesions.images import SECONDS, UnreadableImage, decode
from lesions.index import DataError, Index
from lesions.sources import FORMS, open_source
from lesions.sources.contents import Contents
from lesions.sources.image_files import ImageFiles
from lesions.sources.left_out import LeftOut, by_reason, counted
from zoo.study import Folders

OWN = "the study's test split"
SEEN = "the study has trained on it, or chosen by it"


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
    left_out: tuple[LeftOut, ...] = ()
    """Images that cannot be used."""


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
    source = open_source(folders.source(study), study.scc)
    if missing := set(index.images).difference(source.index.images):
        lacks = f"{counted(len(missing), 'image')} of the test split, {min(missing)} first"
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


class TrainedPictures:
    """Tells whether a picture is one of some `images` of a source, by its bytes. Several threads may ask at once."""

    def __init__(self, source: ImageFiles, images: Collection[str]) -> None:
        self._source, self._lock = source, threading.Lock()
        self._by_size: dict[int, list[str]] = {}
        for image in source.files.keys() & set(images):
            self._by_size.setdefault(source.files[image].stamp[0], []).append(image)
        self._digests: set[bytes] = set()

    def has(self, content: bytes) -> bool:
        """Only files of the same size are read, each once; one that cannot be read is none of them."""
        with self._lock:
            for image in self._by_size.pop(len(content), ()):
                with suppress(DataError):
                    self._digests.add(hashlib.sha256(self._source.read(image)).digest())
        return hashlib.sha256(content).digest() in self._digests


def trained_content(folders: Folders, seen: Collection[str]) -> TrainedPictures | None:
    """The content of the images that training has `seen`; none where the study's data are gone."""
    study = folders.read()
    with suppress(DataError):
        return TrainedPictures(open_source(folders.source(study), study.scc), seen)
    return None


def external_images(
    path: Path,
    seen: Collection[str],
    strict: bool = False,
    scc: str | None = None,
    largest: int | None = None,
    trained: TrainedPictures | None = None,
) -> LabeledImages:
    """The labeled images at `path` (`lesions.sources.FORMS`); `seen` are the images that training has seen, by name.

    `trained` knows them by content, as far as their files are there.

    An image of no class or of none of ours, a missing or unreadable one, one that a server would refuse (of more than
    `largest` bytes, if there is a limit, or not decoded in time), and one that is `seen`, is left out; with `strict` it
    is a `DataError`. So is a path without such images, one of which no image is left, and an image that is of two
    classes. Squamous cell carcinomas count as the class `scc`, if there is one.
    """
    if not path.exists():
        raise DataError(f"TEST={path}: no such file or folder; it is {FORMS}")
    source = open_source(path, scc, is_test=True)
    images, contents = source.index.images, Contents(source)
    with ThreadPoolExecutor() as pool:
        checks = pool.map(lambda image: _reason_to_leave_out(source, image, seen, trained, largest, contents), images)
        reasons = list(tqdm(checks, "reading", len(images), unit="image", disable=None))
    unusable = [LeftOut(image, reason) for image, reason in zip(images, reasons, strict=True) if reason]
    left_out = (*source.left_out, *unusable)
    index = source.index.take(np.flatnonzero([reason is None for reason in reasons]))
    if left_out and (strict or not index.images):
        lines = "\n".join(f"  {line}" for line in by_reason(left_out))
        raise DataError(f"{path}: {counted(len(left_out), 'image')} cannot be used:\n{lines}")
    rows = zip(index.images, index.labels.tolist(), index.lesions, strict=True)
    stamps = [(image, label, lesion, *source.files[image].stamp) for image, label, lesion in rows]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
    return LabeledImages(path.name, index, source, digest, left_out=left_out)


def too_large(source: ImageFiles, image: str, largest: int | None) -> str | None:
    """Why a server that takes `largest` bytes refuses the file of an image; none if it does not."""
    size = source.files[image].stamp[0]
    if largest is None or size <= largest:
        return None
    return f"over the {largest / 1e6:g} MB that the server takes: make serve MAX_REQUEST_MB=... ({size:,} bytes)"


def _reason_to_leave_out(
    source: ImageFiles,
    image: str,
    seen: Collection[str],
    trained: TrainedPictures | None,
    largest: int | None,
    contents: Contents,
) -> str | None:
    """The reason why an image cannot be used; none if it can. Raises `DataError` for an image of two classes."""
    file = source.files[image]
    if image in seen or file.path.stem in seen:
        return SEEN
    if file.problem:
        return f"{file.place.name}: {file.problem}"
    try:
        if reason := too_large(source, image, largest):
            return reason
        content = file.read()
        if trained is not None and trained.has(content):
            return SEEN
        decode(content, SECONDS)
    except (UnreadableImage, DataError) as error:
        return str(error)
    contents.check(image, content)
    return None
