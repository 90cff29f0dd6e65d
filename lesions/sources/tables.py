"""Reads the tables that describe images, whatever program has written them: rows of cells by column."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

from lesions.index import DataError

IMAGE = ("image_id", "image", "isic_id", "image_name", "filename", "file_name", "image_path", "path", "file")
LESION = ("lesion_id", "lesion")
AGE = ("age", "age_approx")
SEX = ("sex", "gender")
SITE = ("localization", "anatom_site_general", "anatom_site_general_challenge", "anatom_site", "site")
"""Columns of the same meaning, by their normalized names, the preferred one first."""

DELIMITERS = ",;\t|"
END = "\x1aend"
"""A line behind the last one."""


def read_table(content: bytes, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table: line number, and cells by normalized column name (lower case, `_` for blanks and hyphens).

    Cells are stripped, and empty where a row is too short. Raises `DataError`, which begins with `where`, for what is
    no table.
    """
    rows, line = _rows(content), 1
    try:
        _, columns = next(rows, (0, []))
        names = [_normalized(column) for column in columns]
        for line, cells in rows:
            yield line, dict(zip_longest(names, map(str.strip, cells[: len(names)]), fillvalue=""))
    except csv.Error as error:
        raise DataError(f"{where}: no table ({error}) after line {line}") from None


def columns_of(head: bytes) -> list[str]:
    """The normalized names of the columns, from the beginning of a table; none where it is no table."""
    try:
        return [_normalized(column) for column in next(_rows(head), (0, []))[1]]
    except csv.Error:
        return []


def first(cells: Mapping[str, str], columns: Iterable[str]) -> str:
    """The first cell in `columns` that is not empty; else the empty string."""
    return next((cells[column] for column in columns if cells.get(column)), "")


def _rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with their line numbers.

    Raises `csv.Error`, also for a quote that is left open: it would take the rest of the table for one cell.
    """
    text = f"{_decode(content)}\n{END}"
    beginning = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    named = re.fullmatch(r'"?sep=(.)"?\s*', beginning, re.IGNORECASE)  # Excel reads and writes such a first line
    delimiter = named[1] if named else max(DELIMITERS, key=beginning.count)
    lines = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
    for number, cells in enumerate(filter(lambda cells: any(map(str.strip, cells)), lines)):
        if cells == [END]:
            return
        if cells[-1].endswith(END):
            raise csv.Error("a quote is left open")
        if not named or number:
            yield lines.line_num, cells


def _decode(content: bytes) -> str:
    """UTF-8 or UTF-16, with or without a byte order mark; other bytes are replaced."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    zeros = [content[start:200:2].count(0) for start in (0, 1)]  # UTF-16 has them in every other place
    if max(zeros) > len(content[:200]) / 4:
        return content.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def _normalized(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower())
