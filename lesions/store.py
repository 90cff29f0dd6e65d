"""The decoded cache: every image cropped and resized once, memory-mapped, so that no epoch decodes a JPEG twice."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lesions import images
from lesions.files import atomic_folder, file_lock, with_filename
from lesions.images import UnreadableImage, center_square, decode
from lesions.index import DataError, ImageSource, Index
from lesions.labels import CLASSES
from lesions.sources.ham10000 import METADATA, Ham10000

CODE = hashlib.sha256(Path(images.__file__).read_bytes()).hexdigest()
"""What pixels a picture becomes is decided here: a cache of other code is not fresh, since servers use this one."""


@dataclass(frozen=True)
class Store:
    """A decoded data set."""

    index: Index
    images: NDArray[np.uint8]
    """Pixels [n, pixels, pixels, 3], memory-mapped, read-only, in the order of `index`."""
    digest: str
    """Sha256 (hex) of the index and all pixels."""


def prepare(source: Path, folder: Path, pixels: int) -> None:
    """Decode `source` (HAM10000 as downloaded) at `pixels` x `pixels` into `folder`, unless it is there and fresh.

    Fresh means: made from files of the same names, sizes and times as `source` has now. Raises `DataError` for
    data that cannot be read, and for too little free disk before anything is written.
    """
    with file_lock(folder):
        stamp = {"pixels": pixels, "code": CODE, "sources": _fingerprint(source)}
        if not is_fresh(folder, stamp):
            decode_all(Ham10000(source), source.name, folder, pixels, stamp)


def is_fresh(folder: Path, stamp: Mapping[str, Any]) -> bool:
    """Whether `folder` holds a whole store that was made with this `stamp`."""
    try:
        load(folder)
        return bool(json.loads((folder / "store.json").read_text())["stamp"] == stamp)
    except (DataError, KeyError):
        return False


def decode_all(data: ImageSource, name: str, folder: Path, pixels: int, stamp: Mapping[str, Any]) -> None:
    """Decode every image of `data`, called `name`, into a store in `folder`. Raises `DataError` as `prepare` does."""
    shape = (len(data.index), pixels, pixels, 3)
    need, free = int(np.prod(shape)) + 2**20, shutil.disk_usage(_existing(folder)).free
    if need > free:
        raise DataError(f"{folder}: the decoded images need {need / 2**20:,.0f} MiB; {free / 2**20:,.0f} MiB are free")
    with with_filename(folder), atomic_folder(folder) as aside:
        digest = hashlib.sha256(
            json.dumps([data.index.images, data.index.labels.tolist(), data.index.lesions]).encode()
        )
        pixel_map = _allocate(aside / "images.npy", shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            squares = pool.map(lambda image: _square(data, image, pixels), data.index.images)
            for position, image in enumerate(
                tqdm(squares, f"decoding {name}", len(data.index), unit="image", disable=None)
            ):
                pixel_map[position] = image
                digest.update(image.tobytes())
        with (aside / "index.csv").open("w", newline="", encoding="utf-8") as file:
            names = [CLASSES[label] for label in data.index.labels]
            csv.writer(file).writerows(zip(data.index.images, names, data.index.lesions, strict=True))
        (aside / "store.json").write_text(json.dumps({"digest": digest.hexdigest(), "stamp": stamp}, indent=1))


def load(folder: Path) -> Store:
    """The store that `prepare` wrote into `folder`. Raises `DataError` where it is not there, or damaged."""
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            lines = file.readlines()
        if not lines or not lines[-1].endswith("\n"):
            raise ValueError("index.csv is cut short")
        image_names, names, lesions = zip(*csv.reader(lines), strict=True)
        labels = np.array([CLASSES.index(name) for name in names], dtype=np.int64)
        pixels = np.load(folder / "images.npy", mmap_mode="r")
        loaded = Store(Index(image_names, labels, lesions), pixels, digest(folder))
        if len(pixels) != len(labels):
            raise ValueError(f"{len(labels)} names of {len(pixels)} images")
    except (OSError, ValueError, LookupError, TypeError, EOFError, csv.Error) as error:
        raise DataError(f"{folder}: the decoded images cannot be read ({error}); run `make zoo` again") from None
    return loaded


def digest(folder: Path) -> str:
    """The sha256 (hex) of the store in `folder`, without reading it."""
    return str(json.loads((folder / "store.json").read_text())["digest"])


def channel_statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of [n, height, width, 3], on the scale 0 to 1, six decimals."""
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for start in range(0, len(images), 256):
        # By histogram: exact, and no float copy of the images.
        block = images[start : start + 256].reshape(-1, 3)
        values = np.arange(256, dtype=np.float64) / 255
        for channel in range(3):
            histogram = np.bincount(block[:, channel], minlength=256)
            total[channel] += histogram @ values
            squares[channel] += histogram @ values**2
        count += len(block)
    mean = total / count
    return np.round(mean, 6).tolist(), np.round(np.sqrt(squares / count - mean**2), 6).tolist()


def _fingerprint(source: Path) -> list[list[Any]]:
    """Name, size and time of every file that `Ham10000` may read: a replaced or deleted image is noticed."""
    if not source.exists():
        raise DataError(f"{source}: no such folder; DATA is a folder with {METADATA[0]} and the images")
    files = [source] if source.is_file() else [*source.glob("*"), *source.glob("*/*.jpg")]
    stats = [(file, file.stat()) for file in sorted(files) if file.is_file()]
    return [[str(file.relative_to(source)), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def _square(data: ImageSource, image: str, pixels: int) -> NDArray[np.uint8]:
    try:
        return center_square(decode(data.read(image)), pixels)
    except UnreadableImage as error:
        raise DataError(f"{data.where(image)}: {error}") from None


def _allocate(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A memory map with its disk blocks reserved, so that a full disk is an error here and no bus error later."""
    try:
        reserved = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; make room, and run the same command again") from None
    return reserved


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
