"""Where images and their labels come from.

A further data set is a module here, with a subclass of `ImageFiles`, and an item of `DATA_SETS`.
"""

from collections.abc import Callable
from pathlib import Path

from lesions.sources.folders import ImageFiles
from lesions.sources.ham10000 import METADATA, Ham10000

DATA_SETS: dict[str, Callable[[Path], ImageFiles]] = dict.fromkeys(METADATA, Ham10000)
"""The data sets that DATA may name, by the file name of the table in their folder."""


def open_source(path: Path) -> ImageFiles:
    """Open the data set at `path`: the first of `DATA_SETS` whose table is there, else HAM10000. Raises `DataError`."""
    return next((data_set for table, data_set in DATA_SETS.items() if (path / table).is_file()), Ham10000)(path)
