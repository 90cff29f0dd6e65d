"""Where images and their labels come from: DATA and TEST are found and read by the same rules."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources.diagnoses import class_named
from lesions.sources.files import TABLES, File, Found, find, is_zip, stem
from lesions.sources.folders import ClassFolders
from lesions.sources.image_files import ImageFiles
from lesions.sources.labeled import Label, LabeledTable, is_label_table, read_labels
from lesions.sources.left_out import by_reason, some_names
from lesions.sources.persons import HEAD
from lesions.sources.tables import IMAGE, columns_of, read_table

FORMS = (
    "a folder or zip file with images and a table of their classes (HAM10000's, the ISIC challenge's or the ISIC "
    f"archive's); one with subfolders named {', '.join(CLASSES)}; or such a table"
)
"""What DATA and TEST may be."""
ABOVE = 3
"""How many folders deep images are looked for beside a table's own folder."""


def open_source(path: Path, scc: str | None = None, is_test: bool = False) -> ImageFiles:
    """Find and read the labeled images at `path`; with `is_test`, it is a test set (TEST), else data to learn from.

    Squamous cell carcinomas count as the class `scc`, if there is one; else they are left out. Of a test set, what
    cannot be used is left out; of other data, it is an error. Raises `DataError`.
    """
    path, setting = path.absolute(), "TEST" if is_test else "DATA"
    scc = scc and scc.lower()
    if scc and scc not in CLASSES:
        raise DataError(f"SCC={scc}: no such class; there are: {', '.join(CLASSES)}")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; {setting} is {FORMS}")
    root = path if path.is_dir() or is_zip(path) else path.parent
    found = find(root, is_data_set=path == root)
    table = File(path, PurePosixPath(path.name)) if path != root else _label_table(path, found.tables, is_test)
    source: ImageFiles
    if table is None:
        if not any(class_named(folder) for image in found.images for folder in image.path.parts[:-1]):
            names = some_names([table.path.name for table in found.tables])
            tables = f" ({names} has no columns image and dx, diagnosis or {', '.join(CLASSES)})" if names else ""
            lacks = f"no table of classes{tables}, and no images in folders of classes"
            raise DataError(f"{path}: {lacks}{found.hint}; {setting} is {FORMS}")
        source = ClassFolders(path, found=found, scc=scc)
    else:
        labels = read_labels(table, scc)
        found = _with_images(found, labels) if path != root else found
        source = LabeledTable(found, table, labels, is_test)
    if not is_test and (problem := next(filter(None, map(_problem, source.files.values())), None)):
        raise DataError(problem)
    if not is_test and not source.files:
        raise DataError("\n  ".join([f"{path}: no image can be used:", *by_reason(source.left_out)]))
    return source


def _problem(file: File) -> str | None:
    return f"{file.place}: {file.problem}" if file.problem else None


def _with_images(found: Found, labels: Iterable[Label]) -> Found:
    """What was found, if any of the table's images is there; else what lies beside it, if they are there.

    ISIC's challenge has `..._GroundTruth/` beside `..._Input/`.
    """
    names = [label.name for label in labels if label.name]
    above = found.root.parent
    if _has_any(found, names) or above == above.parent:
        return found
    beside = find(above, ABOVE, is_data_set=False)
    if not _has_any(beside, names):
        return found
    return replace(beside, tables=[table for table in beside.tables if _is_whole(table)], broken=[])


def _is_whole(table: File) -> bool:
    """Whether a table of images can be read to its end: one beside the data may be of something else, and damaged."""
    try:
        has_images = not table.problem and set(columns_of(table.read(HEAD))).intersection(IMAGE)
        return bool(has_images) and all(read_table(table.read(), str(table)))
    except DataError:
        return False


def _has_any(found: Found, names: Iterable[str]) -> bool:
    return any(stem(name) in found.by_stem for name in names)


def _label_table(path: Path, tables: Sequence[File], is_test: bool) -> File | None:
    """The table of labels among `tables`; none if there is none. Raises `DataError` where there are several."""
    readable = [table for table in tables if not table.problem]
    found = _without_copies(table for table in readable if is_label_table(columns_of(table.read(HEAD))))
    if not found and len(readable) < len(tables):
        raise DataError(next(filter(None, map(_problem, tables))))
    preferred: tuple[Callable[[str], bool], ...] = (
        (lambda name: "test" in name,)
        if is_test
        else (lambda name: name.startswith("ham10000_metadata"), lambda name: "train" in name)
    )
    for fits in preferred:
        found = [table for table in found if fits(table.path.name.lower())] or found
    if len(found) > 1:  # copies of one table are one table; an unpacked one is the first, then the least deep
        by_content: dict[bytes, File] = {}
        for table in sorted(found, key=_depth):
            by_content.setdefault(table.read(), table)
        found = list(by_content.values())
    if len(found) > 1:
        unpacked = ", after unpacking it" if found[0].member else ""
        names, setting = ", ".join(sorted(map(str, found))), "TEST" if is_test else "DATA"
        raise DataError(
            f"{path}: several tables of classes ({names}); name one of them{unpacked}: {setting}={found[0]}"
        )
    return found[0] if found else None


def _depth(table: File) -> tuple[bool, int, str]:
    return table.member is not None, len(table.path.parts), str(table.path)


def _without_copies(tables: Iterable[File]) -> list[File]:
    """One of each table: an unpacked one rather than the one in its zip file, and a .csv rather than its .tab."""
    ordered = sorted(tables, key=lambda table: (table.member is not None, TABLES.index(table.path.suffix.lower())))
    kept: dict[tuple[str, str], File] = {}
    unpacked = {table.path for table in ordered if table.member is None}
    for table in ordered:
        if not table.unpacked_places & unpacked:
            kept.setdefault((str(table.path.parent), table.path.stem), table)
    return list(kept.values())
