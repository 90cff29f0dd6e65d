"""Lesion, age, sex and site of each image, from the tables that have them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from lesions.index import Row
from lesions.sources.files import File, stem
from lesions.sources.tables import AGE, IMAGE, LESION, SEX, SITE, columns_of, first, read_table

COLUMNS = {"lesion": LESION, "age": AGE, "sex": SEX, "site": SITE}
HEAD = 2**20  # bytes that hold the first line of any table
UNKNOWN = {"unknown", "nan", "na", "n/a", "none", "null"}


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


def description(cells: Mapping[str, str]) -> dict[str, str]:
    """The cells of `COLUMNS` in one row of a table, as far as they are filled."""
    found = {name: first(cells, columns) for name, columns in COLUMNS.items()}
    return {name: cell for name, cell in found.items() if cell and cell.lower() not in UNKNOWN}


def row(image: str, label: int, described: Mapping[str, str]) -> Row:
    """The index's row of an image. An image without a lesion is a lesion of its own."""
    try:
        age = float(described.get("age", ""))
    except ValueError:
        age = math.nan
    known = age if 0 <= age < math.inf else math.nan
    sex, site = (described.get(key, "").lower() for key in ("sex", "site"))
    return Row(image, label, described.get("lesion", image), known, sex, site)
