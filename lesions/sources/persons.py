"""Lesion, age, sex and site of each image, from the tables that have them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import PurePosixPath

from lesions.index import DataError, Row
from lesions.sources.diagnoses import class_named
from lesions.sources.files import File, stem
from lesions.sources.tables import AGE, IMAGE, LESION, SEX, SITE, columns_of, first, read_table

COLUMNS = {"lesion": LESION, "age": AGE, "sex": SEX, "site": SITE}
HEAD = 2**20  # bytes that hold the first line of any table
UNKNOWN = {"unknown", "nan", "na", "n/a", "none", "null", "-", "--", "?"}


def describing(tables: Iterable[File]) -> list[File]:
    """Those tables that name images, and say anything of their lesions or persons."""
    wanted = [column for columns in COLUMNS.values() for column in columns]
    read = [(table, set(columns_of(table.read(HEAD)))) for table in tables if not table.problem]
    return [table for table, columns in read if columns.intersection(IMAGE) and columns.intersection(wanted)]


def descriptions(tables: Iterable[File]) -> dict[str, dict[str, str]]:
    """The cells of `COLUMNS` by image (without suffix), as far as they are filled. The first table wins."""
    images: dict[str, dict[str, str]] = defaultdict(dict)
    for table in tables:
        for _, cells in read_table(table.read(), str(table)):
            images[stem(first(cells, IMAGE))] = description(cells) | images[stem(first(cells, IMAGE))]
    return images


def descriptions_of(files: Mapping[str, File], tables: Iterable[File]) -> dict[str, dict[str, str]]:
    """The cells of `COLUMNS` of each image in `files`, as far as they are filled. The first table wins.

    A row that names another class's folder is of an image that is not here. Where several images have the name of a
    row, it describes the one whose path is most like the row's, which may begin in the table's folder. Raises
    `DataError` where that leaves several.
    """
    described: dict[str, dict[str, str]] = {image: {} for image in files}
    by_stem: dict[str, list[str]] = defaultdict(list)
    by_folder: dict[tuple[str, str], list[str]] = defaultdict(list)
    for image, file in files.items():
        by_stem[file.path.stem].append(image)
        by_folder[file.path.parent.name.lower(), file.path.stem].append(image)
    for table in tables:
        for line, cells in read_table(table.read(), str(table)):
            name = PurePosixPath(first(cells, IMAGE).replace("\\", "/").lstrip("/"))
            path, short = table.path.parent / name, stem(name.name)
            images = by_folder.get((path.parent.name.lower(), short)) or by_stem.get(short, [])
            images = [image for image in images if _class_in(name) in (None, _class_in(files[image].path))]
            likeness = [_likeness(path, files[image].path) for image in images]
            most = max(likeness, default=None)
            fits = [image for image, like in zip(images, likeness, strict=True) if like == most]
            if len(fits) > 1:
                several = ", ".join(str(files[image].path) for image in sorted(fits))
                raise DataError(f"{table}, line {line}: image {name} may be any of {several}; name its folder, too")
            for image in fits:
                described[image] = description(cells) | described[image]
    return described


def _class_in(path: PurePosixPath) -> str | None:
    return next(filter(None, map(class_named, path.parts[:-1])), None)


def _likeness(one: PurePosixPath, other: PurePosixPath) -> tuple[int, bool]:
    """How many folders, from the innermost on, are the same in any case; and whether the suffix is."""
    folders = zip(reversed(one.parts[:-1]), reversed(other.parts[:-1]), strict=False)
    same = takewhile(lambda pair: pair[0].lower() == pair[1].lower(), folders)
    return len(list(same)), one.name == other.name


def description(cells: Mapping[str, str]) -> dict[str, str]:
    """The cells of `COLUMNS` in one row of a table, as far as they are filled."""
    found = {name: first(cells, columns) for name, columns in COLUMNS.items()}
    return {name: cell for name, cell in found.items() if cell and cell.lower() not in UNKNOWN}


def row(image: str, label: int, described: Mapping[str, str]) -> Row:
    """The index's row of an image. An image without a lesion is a lesion of its own."""
    try:
        age = float(described.get("age", "").replace(",", "."))
    except ValueError:
        age = math.nan
    known = age if 0 <= age < math.inf else math.nan
    sex, site = (described.get(key, "").lower() for key in ("sex", "site"))
    return Row(image, label, described.get("lesion", image), known, sex, site)
