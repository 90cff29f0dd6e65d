"""Reads ISIC's ground truth, a one-hot table, with the images beside it (challenge of 2018, task 3)."""

from pathlib import Path

from lesions.index import DataError, Index
from lesions.labels import CLASSES
from lesions.sources.folders import SUFFIXES, ImageFiles, images_by_stem
from lesions.sources.tables import read_table

NO_CLASS = {"image", "lesion", "lesion_id", "score_weight", "validation_weight"}  # columns that are no class


class IsicTable(ImageFiles):
    """A table with a column `image` and one for each class; its images lie beside it, or one folder further down.

    A row whose class is not one of ours, or whose image is not there, is `left_out`. An image without a `lesion_id` (or
    `lesion`) counts as a lesion of its own. Raises `DataError` for what is no such table, or has no rows.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        images = images_by_stem(path.parent)
        rows: list[tuple[str, int, str]] = []
        seen: set[str] = set()
        for line, cells in read_table(path.read_bytes(), str(path), ("image", *CLASSES)):
            name = Path(cells["image"]).name
            stem = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
            classes = [column for column, cell in cells.items() if column not in NO_CLASS and _is_one(cell)]
            if stem in seen:
                self.left_out.append(f"{name}: a second row (line {line})")
            elif not classes:
                self.left_out.append(f"{name}: unlabeled")
            elif len(classes) > 1:
                self.left_out.append(f"{name}: several classes ({', '.join(classes)})")
            elif classes[0] not in CLASSES:
                self.left_out.append(f"{name}: unknown class {classes[0]!r}")
            elif stem not in images:
                self.left_out.append(f"{name}: no such image beside {path.name}")
            else:
                self.files[stem] = images[stem]
                lesion = cells.get("lesion_id", cells.get("lesion")) or stem
                rows.append((stem, CLASSES.index(classes[0]), lesion))
            seen.add(stem)
        if not seen:
            raise DataError(f"{path}: names no image")
        self.index = Index.of(rows)


def _is_one(cell: str) -> bool:
    try:
        return float(cell) > 0.5
    except ValueError:
        return False
