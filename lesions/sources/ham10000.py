"""Reads HAM10000 as downloaded: metadata and JPEG images, zipped or unpacked, of any size.

Tschandl P., Rosendahl C., Kittler H.: "The HAM10000 dataset", Sci Data 5, 180161 (2018), doi:10.7910/DVN/DBW86T.
"""

import csv
import io
import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from lesions.index import DataError, Index
from lesions.labels import CLASSES

METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
"""The names under which the metadata is known (the last is what Dataverse calls its tab-separated copy)."""

COLUMNS = ("lesion_id", "image_id", "dx")
"""The metadata's columns that are used."""


class Ham10000:
    """A folder (or one zip file) with HAM10000: `index`, and the bytes of each image.

    Raises `DataError` where it lacks metadata, names unknown classes, lacks images, or has a damaged zip file.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        if not source.exists():
            raise DataError(f"{source}: no such folder; DATA is a folder with {METADATA[0]} and the images")
        self._files: dict[str, Path] = {}
        self._members: dict[str, tuple[zipfile.ZipFile, str]] = {}
        if source.is_dir():
            self._look_into(source)
        else:
            self._open_zip(source)
        try:
            self.index = self._read_metadata()
        except csv.Error as error:
            raise DataError(f"{source}: its metadata is no table ({error})") from None

    def read(self, image: str) -> bytes:
        """The JPEG bytes of the image called `image`. Raises `DataError` where they cannot be read."""
        if (file := self._files.get(image)) is not None:
            try:
                return file.read_bytes()
            except OSError as error:
                raise DataError(f"{file}: {error.strerror}") from None
        archive, member = self._members[image]
        try:
            return archive.read(member)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
            raise DataError(f"{archive.filename}: {member} cannot be read ({error}); download the file again") from None

    def where(self, image: str) -> str:
        """Where the image called `image` comes from, for a message."""
        if image in self._files:
            return str(self._files[image])
        archive, member = self._members[image]
        return f"{archive.filename}: {member}"

    def _look_into(self, folder: Path) -> None:
        """Find images in `folder`, its subfolders and zip files; unpacked ones win over zipped ones."""
        for zipped in sorted(folder.glob("*.zip")):
            if "segmentation" not in zipped.name.lower() and "isic2018" not in zipped.name.lower():
                self._open_zip(zipped)
        for pattern in ("*.jpg", "*/*.jpg"):
            self._files |= {file.stem: file for file in folder.glob(pattern)}

    def _open_zip(self, zipped: Path) -> None:
        try:
            archive = zipfile.ZipFile(zipped)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError):
            raise DataError(f"{zipped}: not a whole zip file (cut short?); download it again") from None
        except OSError as error:
            raise DataError(f"{zipped}: {error.strerror}") from None
        for member in archive.namelist():
            path = PurePosixPath(member)
            if path.suffix.lower() == ".jpg" and "__MACOSX" not in path.parts:
                self._members[path.stem] = (archive, member)
            elif path.name in METADATA:
                self._members[path.name] = (archive, member)

    def _metadata(self) -> tuple[str, str]:
        """The metadata's text and where it is."""
        for name in METADATA:
            if (file := self.source / name).is_file():
                return file.read_text(encoding="utf-8-sig", errors="replace"), str(file)
            if name in self._members:
                return self.read(name).decode("utf-8-sig", errors="replace"), self.where(name)
        raise DataError(f"{self.source}: no metadata; one of {', '.join(METADATA)} must lie beside the images")

    def _read_metadata(self) -> Index:
        text, where = self._metadata()
        first_line = text.partition("\n")[0]
        rows = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first_line else ",")
        if lacking := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise DataError(f"{where}: no column {', '.join(lacking)} in its first line")
        found: dict[str, tuple[int, str]] = {}
        missing: list[str] = []
        for row in rows:
            lesion, image, diagnosis = (str(row[column] or "").strip() for column in COLUMNS)
            if diagnosis not in CLASSES:
                raise DataError(
                    f"{where}, line {rows.line_num}: unknown class {diagnosis!r}; known: {', '.join(CLASSES)}"
                )
            if not lesion or not image:
                raise DataError(f"{where}, line {rows.line_num}: no lesion_id or no image_id")
            if image in found:
                raise DataError(f"{where}, line {rows.line_num}: image {image} is there twice")
            if image not in self._files and image not in self._members:
                missing.append(image)
            found[image] = (CLASSES.index(diagnosis), lesion)
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DataError(f"{where} names {len(missing)} images that are not in {self.source}: {some}")
        if not found:
            raise DataError(f"{where}: names no image")
        ordered = sorted(found, key=lambda image: (found[image][0], image))
        return Index(
            images=tuple(ordered),
            labels=np.array([found[image][0] for image in ordered], dtype=np.int64),
            lesions=tuple(found[image][1] for image in ordered),
        )
