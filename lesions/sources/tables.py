"""Reads the tables that describe images: HAM10000's metadata, ISIC's ground truth."""

import csv
import io
from collections.abc import Collection, Iterator
from itertools import zip_longest

from lesions.index import DataError


def read_table(content: bytes, where: str, required: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table, separated by commas or tabs: line number, and cells by column.

    Text is UTF-8 with or without a byte order mark. Columns are in lower case; cells are stripped, and empty where a
    row is too short. Raises `DataError`, which begins with `where`, for a missing column that is `required` and for
    what is no table.
    """
    text = content.decode("utf-8-sig", errors="replace")
    lines = csv.reader(io.StringIO(text), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    try:
        columns = [column.strip().lower() for column in next(lines, [])]
        if missing := [column for column in required if column not in columns]:
            raise DataError(f"{where}: no column {', '.join(missing)} in its first line")
        for cells in filter(None, lines):
            yield lines.line_num, dict(zip_longest(columns, map(str.strip, cells[: len(columns)]), fillvalue=""))
    except csv.Error as error:
        raise DataError(f"{where}: no table ({error})") from None
