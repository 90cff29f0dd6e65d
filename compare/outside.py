"""Labeled images from outside the study: class folders, or ISIC's table with images beside it."""

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from compare.labeled import LabeledImages
from lesions.images import UnreadableImage, decode
from lesions.index import DataError, Index
from lesions.labels import CLASSES

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")

FORMS = f"a folder with subfolders named {', '.join(CLASSES)}; or a .csv with the columns image, MEL, NV, ..., VASC"

NO_CLASS = frozenset({"image", "lesion", "lesion_id", "score_weight", "validation_weight"})
"""Columns of ISIC's tables that are no class."""


class Found(NamedTuple):
    """One image that somebody has labeled."""

    name: str
    file: Path
    label: int
    lesion: str


class Files:
    """Images that are files, in the way of `Ham10000`."""

    def __init__(self, found: list[Found]) -> None:
        self.index = Index(
            tuple(one.name for one in found),
            np.array([one.label for one in found], dtype=np.int64),
            tuple(one.lesion for one in found),
        )
        self._files = {one.name: one.file for one in found}

    def read(self, image: str) -> bytes:
        """The bytes of an image. Raises `DataError`."""
        try:
            return self._files[image].read_bytes()
        except OSError as error:
            raise DataError(f"{self._files[image]}: {error.strerror}") from None

    def where(self, image: str) -> str:
        """Where it is, for a message."""
        return str(self._files[image])


def outside(source: Path, learned: Collection[str], strict: bool = False) -> LabeledImages:
    """The images of `source`, a folder or a table; `learned` are the names that training has seen.

    What has no class, an unknown one, cannot be read, or was `learned` from, is left out by name, or with `strict`
    raises `DataError`. So does a source of neither form, and one of which nothing is left.
    """
    try:
        pairs = list(_table(source) if source.is_file() else _folders(source))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: {error}") from None
    left_out = [said for said in pairs if isinstance(said, str)]
    found = [one for one in pairs if isinstance(one, Found)]
    if not pairs:
        raise DataError(f"{source}: nothing labeled; TEST is {FORMS}")
    with ThreadPoolExecutor() as pool:
        reasons = pool.map(lambda one: _trouble(one, learned), found)
        told = list(tqdm(reasons, "reading", len(found), unit="image", disable=None))
    left_out += [f"{one.name}: {reason}" for one, reason in zip(found, told, strict=True) if reason]
    kept = [one for one, reason in zip(found, told, strict=True) if not reason]
    if left_out and (strict or not kept):
        listed = "\n".join(f"  {said}" for said in left_out)
        raise DataError(f"{source}: {len(left_out)} images cannot be used:\n{listed}")
    stamps = [(*one[::2], one.lesion, (stat := one.file.stat()).st_size, stat.st_mtime_ns) for one in kept]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
    files = Files(kept)
    return LabeledImages(source.name, files.index, files, digest, left_out=tuple(left_out))


def _folders(source: Path) -> Iterator[Found | str]:
    """What lies in `mel/`, `nv/` ...; and in words, what lies elsewhere."""
    if not source.is_dir():
        raise DataError(f"TEST={source}: no such file or folder; it is {FORMS}")
    for file in sorted(source.glob("**/*")):
        name = file.relative_to(source).as_posix()
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            continue
        folder, inside, _ = name.partition("/")
        if not inside:
            yield f"{name}: unlabeled (it lies in no class's folder)"
        elif folder not in CLASSES:
            yield f"{name}: unknown class {folder!r}"
        else:
            yield Found(name, file, CLASSES.index(folder), name)


def _table(source: Path) -> Iterator[Found | str]:
    """The rows of ISIC's one-hot table; images lie beside it, or one folder further down."""
    rows = csv.DictReader(io.StringIO(source.read_text(encoding="utf-8-sig")))
    columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
    if lacking := [name for name in ("image", *CLASSES) if name not in columns]:
        raise DataError(f"{source}: no column {', '.join(lacking)}; TEST is {FORMS}")
    files: dict[str, Path] = {}
    for pattern in ("*/*", "*"):
        files |= {file.stem: file for file in source.parent.glob(pattern) if file.suffix.lower() in SUFFIXES}
    seen: set[str] = set()
    for row in rows:
        image = Path(str(row[columns["image"]]).strip()).name
        stem = image.removesuffix(Path(image).suffix) if Path(image).suffix.lower() in SUFFIXES else image
        said = [name for name, column in columns.items() if name not in NO_CLASS and _is_one(row[column])]
        if stem in seen:
            yield f"{image}: a second row (line {rows.line_num})"
        elif not said:
            yield f"{image}: unlabeled"
        elif len(said) > 1:
            yield f"{image}: several classes ({', '.join(said)})"
        elif said[0] not in CLASSES:
            yield f"{image}: unknown class {said[0]!r}"
        elif stem not in files:
            yield f"{image}: no such image beside {source.name}"
        else:
            lesion = next((row[columns[key]] for key in ("lesion_id", "lesion") if key in columns), "") or stem
            yield Found(stem, files[stem], CLASSES.index(said[0]), lesion)
        seen.add(stem)


def _is_one(value: object) -> bool:
    try:
        return float(str(value)) > 0.5
    except ValueError:
        return False


def _trouble(one: Found, learned: Collection[str]) -> str:
    """Why an image cannot be used; empty if it can."""
    if one.file.stem in learned:
        return "the study has trained on it, or chosen by it"
    try:
        decode(one.file.read_bytes())
    except UnreadableImage as error:
        return str(error)
    except OSError as error:
        return str(error.strerror)
    return ""
