"""Reads a table of images and their classes: HAM10000's metadata, ISIC's ground truth, the ISIC archive's metadata."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from lesions.index import DataError, Index, Row
from lesions.labels import CLASSES
from lesions.sources import persons
from lesions.sources.diagnoses import OTHERS, class_of
from lesions.sources.files import File, Found, SeveralPicturesError, stem
from lesions.sources.image_files import ImageFiles
from lesions.sources.left_out import LeftOut, counted, some_names
from lesions.sources.persons import description
from lesions.sources.tables import IMAGE, LESION, columns_of, first, read_table

CLASS = ("dx", "class", "label")
"""Columns of class names; here, an unknown one is taken for a typing error."""
DIAGNOSIS = ("diagnosis_5", "diagnosis_4", "diagnosis_3", "diagnosis_2", "diagnosis_1", "diagnosis")
"""Columns of the ISIC archive, the most specific first; of its many diagnoses we know some."""
NO_CLASS = {*IMAGE, *(column for columns in persons.COLUMNS.values() for column in columns)} | {
    "score_weight",
    "validation_weight",
}
NO_NAME = "no lesion_id or no image_id"


class Label(NamedTuple):
    """A row of the table."""

    line: int
    name: str
    """The image, as the table calls it, with or without a path and a suffix."""
    image: str
    """The image's name without those."""
    diagnosis: str
    """One of `CLASSES` or `OTHERS`; else what the table has, which may be empty."""
    described: dict[str, str]
    """Lesion, age, sex and site, as far as they are known (`lesions.sources.persons.COLUMNS`)."""


def is_label_table(columns: Collection[str]) -> bool:
    """Whether a table with these columns names images and their classes."""
    names = {class_of(column) for column in columns}.intersection(CLASSES)
    return bool(set(columns).intersection(IMAGE)) and (_has_diagnoses(columns) or len(names) > 1)


def read_labels(table: File, scc: str | None = None) -> list[Label]:
    """The rows of a table; squamous cell carcinomas count as the class `scc`, if there is one.

    Raises `DataError`, which names the line, for an image with two classes, and for what is no such table.
    """
    content = table.read()
    _check(columns_of(content[: persons.HEAD]), str(table))
    labels: list[Label] = []
    seen: dict[str, str] = {}
    for line, cells in read_table(content, str(table)):
        name = first(cells, IMAGE)
        image = stem(name)
        diagnoses = list(dict.fromkeys(class_of(cell) or cell for cell in _diagnoses(cells)))
        diagnosis = scc if scc and diagnoses == ["scc"] else "".join(diagnoses[:1])
        before = seen.get(image, "")
        several = diagnoses if len(diagnoses) > 1 else [before, diagnosis]
        if len(diagnoses) > 1 or (before and diagnosis and before != diagnosis):
            raise DataError(
                f"{table}, line {line}: image {name} has several classes ({', '.join(several)}){_hint(name)}"
            )
        if image:
            seen[image] = diagnosis or before
        labels.append(Label(line, name, image, diagnosis, description(cells)))
    if not labels:
        raise DataError(f"{table}: names no image")
    return labels


class LabeledTable(ImageFiles):
    """The images of a table of labels, ordered by class, then by name, which has neither path nor suffix.

    A row of a known class that is none of ours is `left_out`; so is an unknown diagnosis of the ISIC archive. With
    `is_test`, so is each other image that cannot be used. Else those raise `DataError`: an unknown class, a second row,
    an image that is not there. Raises `DataError` where there is no row.
    """

    def __init__(self, found: Found, table: File, labels: Sequence[Label], is_test: bool) -> None:
        super().__init__(found)
        self._table, self._is_test = table, is_test
        self._columns = columns_of(table.read(persons.HEAD))
        self.tables = [table, *persons.describing(file for file in found.tables if str(file) != str(table))]
        descriptions = persons.descriptions(self.tables[1:])
        rows: list[Row] = []
        missing: list[str] = []
        for label in self._usable(labels):
            try:
                file = found.image(label.name)
            except SeveralPicturesError as error:
                if not is_test:
                    raise
                self.left_out.append(LeftOut(label.image, f"two pictures of one name ({error})"))
                continue
            if file is None:
                missing.append(label.image)
                continue
            self.files[label.image] = file
            described = descriptions.get(label.image, {}) | label.described
            rows.append(persons.row(label.image, CLASSES.index(label.diagnosis), described))
        if missing and (not is_test or found.broken):
            raise DataError(
                f"{table} names {counted(len(missing), 'image')} not in {found.root}: {some_names(missing)}{found.hint}"
            )
        beside = f"no such image beside {table.path.name}{found.hint}"
        self.left_out += [LeftOut(image, beside) for image in missing]
        self.index = Index.ordered(rows)
        self.lesions_known = any("lesion" in label.described for label in labels) or any(
            "lesion" in described for image, described in descriptions.items() if image in self.files
        )

    def _usable(self, labels: Sequence[Label]) -> Iterator[Label]:
        """The rows of one of our classes. Leaves others out, or raises `DataError`, which names the line."""
        typed = bool(set(self._columns).intersection(CLASS))
        has_lesions = bool(set(self._columns).intersection(LESION))
        seen: set[str] = set()
        for label in labels:
            image, reason, is_mistake = label.image, "", True
            if not image:
                image, reason = f"line {label.line}", NO_NAME
            elif image in seen and not self._is_test:
                raise DataError(f"{self._table}, line {label.line}: image {image} is there twice{_hint(label.name)}")
            elif image in seen:
                reason = f"a second row{_hint(label.name)}"
            elif not label.diagnosis:
                reason, is_mistake = "unlabeled", typed
            elif label.diagnosis in OTHERS:
                reason, is_mistake = other_class(label.diagnosis), False
            elif label.diagnosis not in CLASSES:
                reason, is_mistake = f"unknown class {label.diagnosis!r}", typed
            elif typed and has_lesions and "lesion" not in label.described and not self._is_test:
                reason = NO_NAME
            seen.add(image)
            if not reason:
                yield label
            elif is_mistake and not self._is_test:
                known = f"; known: {', '.join(CLASSES)}" if reason.startswith("unknown") else ""
                raise DataError(f"{self._table}, line {label.line}: {reason}{known}")
            else:
                self.left_out.append(LeftOut(image, reason))


def other_class(name: str) -> str:
    """Why an image of another known class is left out."""
    return f"class {name} is none of ours" + ("; SCC=akiec counts it as akiec" if name == "scc" else "")


def _has_diagnoses(columns: Collection[str]) -> bool:
    return bool(set(columns).intersection((*CLASS, *DIAGNOSIS)))


def _check(columns: Collection[str], where: str) -> None:
    """Raise `DataError` where the columns are not those of a table of labels."""
    if not set(columns).intersection(IMAGE):
        raise DataError(f"{where}: no column image (or image_id, isic_id, ...) in its first line")
    there = {class_of(column) for column in columns}
    if not _has_diagnoses(columns) and (missing := [name for name in CLASSES if name not in there]):
        raise DataError(f"{where}: no column {', '.join(missing)} in its first line, and no column dx or diagnosis")


def _diagnoses(cells: Mapping[str, str]) -> list[str]:
    """The classes or diagnoses in a row: one, or several by mistake, or none."""
    if name := first(cells, CLASS):
        return [name]
    if _has_diagnoses(cells):
        names = [cells[column] for column in DIAGNOSIS if cells.get(column)]
        return [name for name in names if class_of(name)][:1] or names[:1]
    ones = [column for column, cell in cells.items() if column not in NO_CLASS and _number(cell) > 0.5]
    return [column for column in ones if class_of(column)] or [column for column in ones if _number(cells[column]) == 1]


def _number(cell: str) -> float:
    """The number in a cell; 0 for what is none."""
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return 0.0


def _hint(name: str) -> str:
    """What to do about a name with a folder that is there twice."""
    return "; folders of names do not count: give each file a name of its own" if "/" in name else ""
