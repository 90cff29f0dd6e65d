"""The decoded cache: every image cropped and resized once, memory-mapped, so that no epoch decodes a JPEG twice."""

import csv
import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lesions import colors, formats, images, metadata
from lesions.files import atomic_folder, file_lock, free_space, sha256, with_filename
from lesions.images import UnreadableImage, center_square, decode
from lesions.index import DataError, Index, Row
from lesions.labels import CLASSES
from lesions.sources import open_source
from lesions.sources.contents import Contents
from lesions.sources.image_files import ImageFiles
from lesions.sources.left_out import by_reason, counted, some_names

# Of the code that turns an image into pixels. Servers run it, so a cache that other code made is not fresh.
CODE = "-".join(sha256(Path(str(module.__file__))) for module in (images, colors, metadata, formats))


@dataclass(frozen=True)
class Store:
    """A decoded data set."""

    index: Index
    images: NDArray[np.uint8]  # [n, pixels, pixels, 3], memory-mapped, read-only, in the order of `index`
    digest: str  # sha256 (hex) of the index and all pixels


def prepare(source: Path, folder: Path, pixels: int, scc: str | None = None) -> None:
    """Decode the data set at `source` at `pixels` x `pixels` into `folder`, unless it is there and fresh.

    Fresh means: made from files of the same names, sizes and times as `source` has now, with the same index. Squamous
    cell carcinomas count as the class `scc`, if there is one. Stderr tells what is left out, and of unknown lesions.
    Raises `DataError` for data that cannot be read, and for too little free disk before anything is written.
    """
    with file_lock(folder):
        data = open_source(source, scc)
        _warn(data)
        index = hashlib.sha256(json.dumps(data.index.rows()).encode()).hexdigest()
        stamp = {"pixels": pixels, "code": CODE, "index": index, "sources": data.fingerprint()}
        if not is_fresh(folder, stamp):
            decode_all(data, source.name, folder, pixels, stamp)


def is_fresh(folder: Path, stamp: Mapping[str, Any]) -> bool:
    """Whether `folder` holds a complete store that was made with this `stamp`."""
    try:
        load(folder)
        return bool(json.loads((folder / "store.json").read_text())["stamp"] == stamp)
    except (DataError, KeyError):
        return False


def decode_all(data: ImageFiles, name: str, folder: Path, pixels: int, stamp: Mapping[str, Any]) -> None:
    """Decode every image of `data`, called `name`, into a store in `folder`. Raises `DataError` as `prepare` does."""
    shape = (len(data.index), pixels, pixels, 3)
    need, free = int(np.prod(shape)) + 2**20, free_space(folder)
    if need > free:
        raise DataError(f"{folder}: the decoded images need {need / 2**20:,.0f} MiB; {free / 2**20:,.0f} MiB are free")
    with with_filename(folder), atomic_folder(folder) as aside:
        names = [data.index.images, data.index.labels.tolist(), data.index.lesions]
        digest = hashlib.sha256(json.dumps(names).encode())
        array = _allocate(aside / "images.npy", shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            squares = pool.map(partial(_square, data, pixels, Contents(data)), data.index.images)
            bar = tqdm(squares, f"decoding {name}", len(data.index), unit="image", disable=None)
            for position, square in enumerate(bar):
                array[position] = square
                digest.update(square.tobytes())
        with (aside / "index.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((row.image, CLASSES[row.label], *row[2:]) for row in data.index.rows())
        (aside / "store.json").write_text(json.dumps({"digest": digest.hexdigest(), "stamp": stamp}, indent=1))


def load(folder: Path) -> Store:
    """The store in `folder`, as `prepare` wrote it. Raises `DataError` where it is not there, or damaged."""
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            lines = file.readlines()
        if not lines or not lines[-1].endswith("\n"):
            raise ValueError("index.csv is cut short")
        index = Index.of(_row(*cells) for cells in csv.reader(lines))
        pixels = np.load(folder / "images.npy", mmap_mode="r")
        if len(pixels) != len(index):
            raise ValueError(f"{len(index)} names of {len(pixels)} images")
        return Store(index, pixels, digest(folder))
    except (OSError, ValueError, LookupError, TypeError, EOFError, csv.Error) as error:
        raise DataError(f"{folder}: the decoded images cannot be read ({error}); run `make zoo` again") from None


def digest(folder: Path) -> str:
    """The sha256 (hex) of the store in `folder`, from its `store.json`; the images are not read."""
    return str(json.loads((folder / "store.json").read_text())["digest"])


def channel_statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of [n, height, width, 3], on the scale 0 to 1, six decimals."""
    histograms, values = np.zeros((3, 256)), np.arange(256) / 255  # exact, and no float copy of the images
    for start in range(0, len(images), 256):
        for channel, pixels in enumerate(images[start : start + 256].reshape(-1, 3).T):
            histograms[channel] += np.bincount(pixels, minlength=256)
    shares = histograms / histograms.sum(axis=1, keepdims=True)
    mean = shares @ values
    return np.round(mean, 6).tolist(), np.round(np.sqrt(shares @ values**2 - mean**2), 6).tolist()


def _row(image: str, label: str, lesion: str, age: str = "nan", sex: str = "", site: str = "") -> Row:
    """A row of the index from its cells; earlier versions wrote three. Raises `ValueError`."""
    return Row(image, CLASSES.index(label), lesion, float(age), sex, site)


def _warn(data: ImageFiles) -> None:
    """Print what people must know of the data before they learn from them."""
    if data.left_out:
        lines = "\n".join(f"  {line}" for line in by_reason(data.left_out))
        print(f"{data.path}: {counted(len(data.left_out), 'image')} left out:\n{lines}", file=sys.stderr)
    if not data.lesions_known:
        consequence = "each image counts as a lesion of its own, so images of one lesion may be in training and test"
        print(f"warning: {data.path} names no lesions; {consequence}", file=sys.stderr)
    classes: dict[str, set[int]] = defaultdict(set)
    for row in data.index.rows():
        classes[row.lesion].add(row.label)
    if mixed := [
        f"{lesion}: {' and '.join(CLASSES[label] for label in sorted(labels))}"
        for lesion, labels in classes.items()
        if len(labels) > 1
    ]:
        several = f"{counted(len(mixed), 'lesion')} with images of several classes ({some_names(mixed)})"
        print(f"warning: {data.path}: {several}; is the column of lesions right?", file=sys.stderr)


def _square(data: ImageFiles, pixels: int, contents: Contents, image: str) -> NDArray[np.uint8]:
    """The center square of an image, uint8 [pixels, pixels, 3]. Raises `DataError`."""
    content = data.read(image)
    try:
        square = center_square(decode(content), pixels)
    except UnreadableImage as error:
        raise DataError(f"{data.where(image)}: {error}") from None
    contents.check(image, content)
    return square


def _allocate(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A memory map with its disk blocks reserved, so that a full disk is an error here and no bus error later."""
    try:
        reserved = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; make room, and run the same command again") from None
    return reserved
