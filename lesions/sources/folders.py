"""Reads class folders: `mel/anything.png`."""

import os
from pathlib import Path, PurePosixPath

from lesions.index import DataError, Index
from lesions.labels import CLASSES
from lesions.sources import persons
from lesions.sources.diagnoses import class_named
from lesions.sources.files import File, Found, find
from lesions.sources.image_files import ImageFiles
from lesions.sources.labeled import other_class
from lesions.sources.left_out import LeftOut


class ClassFolders(ImageFiles):
    """A folder, or zip file, with a subfolder for each class: a generator's pool, or images of one's own.

    A class's folder has its name in any case, and may lie in further folders. Images are called by their paths below
    the folder that holds all classes' folders, `mel/a.jpg`, and ordered by class, then by name. Images elsewhere are
    `left_out`. Raises `DataError` where there is no image at all.
    """

    def __init__(
        self, path: Path, suffix_in_names: bool = True, found: Found | None = None, scc: str | None = None
    ) -> None:
        found = found or find(path)
        super().__init__(found)
        self.may_repeat = suffix_in_names
        labeled: list[tuple[int, str, File]] = []  # where its class's folder is in the path, class, file
        others: list[tuple[PurePosixPath, str | None]] = []
        for file in found.images:
            classes = [class_named(part) for part in file.path.parts[:-1]]
            position = next((k for k, name in enumerate(classes) if name), None)
            name = None if position is None else classes[position]
            name = scc if scc and name == "scc" else name
            if position is not None and name in CLASSES:
                labeled.append((position, name, file))
            else:
                others.append((file.path, name))
        if not found.images:
            raise DataError(f"{path}: no images in subfolders named {', '.join(CLASSES)}{found.hint}")
        # Zipped images are copies where they lie unpacked beside their zip file, or, of the same size, elsewhere.
        unpacked = [(position, file) for position, _, file in labeled if file.member is None]
        places = {file.path for _, file in unpacked}
        sizes = {(_below(file, position), file.stamp[0]) for position, file in unpacked}
        labeled = [
            (position, name, file)
            for position, name, file in labeled
            if file.member is None
            or not (file.unpacked_places & places or (_below(file, position), file.stamp[0]) in sizes)
        ]
        outside = [str(PurePosixPath(*file.path.parts[:position])) for position, _, file in labeled]
        common = os.path.commonpath(outside) if labeled else ""
        self.left_out = [LeftOut(str(image), _reason(image, common, name)) for image, name in others]
        self.tables = persons.describing(found.tables)
        labels: dict[str, int] = {}  # a zip file may have two members of one name
        for _, name, file in labeled:
            place = file.path.relative_to(common or ".")
            image = str(place if suffix_in_names else place.with_suffix(""))
            self.files[image] = file
            labels[image] = CLASSES.index(name)
        descriptions = persons.descriptions_of(self.files, self.tables)
        self.index = Index.ordered(persons.row(image, labels[image], descriptions[image]) for image in self.files)
        self.lesions_known = any("lesion" in described for described in descriptions.values())


def _below(file: File, position: int) -> tuple[str, ...]:
    """The path from the class's folder on, whose name may be in any case."""
    return (file.path.parts[position].lower(), *file.path.parts[position + 1 :])


def _reason(image: PurePosixPath, common: str, other: str | None) -> str:
    """Why an image is of none of our classes, whose folders lie in `common`; it may be of a known other one."""
    if other:
        return other_class(other)
    below = image.relative_to(common) if common and image.is_relative_to(common) else image
    if len(below.parts) == 1:
        return "unlabeled (it lies in no class's folder)"
    return f"unknown class {below.parts[0]!r}"
