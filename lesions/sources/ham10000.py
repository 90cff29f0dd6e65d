"""Reads HAM10000 as downloaded: metadata and JPEG images, zipped or unpacked, of any size.

Tschandl P., Rosendahl C., Kittler H.: "The HAM10000 dataset", Sci Data 5, 180161 (2018), doi:10.7910/DVN/DBW86T.
"""

import zipfile
from pathlib import Path

from lesions.index import DataError, Index
from lesions.labels import CLASSES
from lesions.sources.folders import ImageFiles, images_by_stem
from lesions.sources.tables import read_table

# Names of the metadata file (the last is what Dataverse calls its tab-separated copy), and its columns that are used.
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
COLUMNS = ("lesion_id", "image_id", "dx")


class Ham10000(ImageFiles):
    """A folder (or one zip file) with HAM10000. Images are ordered by class, then by name.

    Raises `DataError` where it lacks metadata, names unknown classes, lacks images, or has a damaged zip file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.exists():
            raise DataError(f"{path}: no such folder; DATA is a folder with {METADATA[0]} and the images")
        for zipped in sorted(path.glob("*.zip")) if path.is_dir() else [path]:
            if zipped == path or not any(word in zipped.name.lower() for word in ("segmentation", "isic2018")):
                self._open_zip(zipped)
        # What is unpacked wins over what is zipped.
        self.files |= images_by_stem(path, (".jpg",))
        self.files |= {name: path / name for name in METADATA if (path / name).is_file()}
        self.index = Index.of(self._rows())

    def _open_zip(self, zipped: Path) -> None:
        """Register the images and the metadata of a zip file."""
        try:
            archive = zipfile.ZipFile(zipped)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError):
            raise DataError(f"{zipped}: not a whole zip file (cut short?); download it again") from None
        except OSError as error:
            raise DataError(f"{zipped}: {error.strerror}") from None
        for member in archive.namelist():
            file = zipfile.Path(archive, member)
            if file.suffix.lower() == ".jpg" and "__MACOSX" not in member:
                self.files[file.stem] = file
            elif file.name in METADATA:
                self.files[file.name] = file

    def _rows(self) -> list[tuple[str, int, str]]:
        """Name, class number and lesion of each image in the metadata, ordered by class, then by name."""
        metadata = next((name for name in METADATA if name in self.files), None)
        if metadata is None:
            raise DataError(f"{self.path}: no metadata; one of {', '.join(METADATA)} must lie beside the images")
        where = self.where(metadata)
        rows: dict[str, tuple[str, int, str]] = {}
        for line, cells in read_table(self.read(metadata), where, COLUMNS):
            lesion, image, diagnosis = (cells[column] for column in COLUMNS)
            if diagnosis not in CLASSES:
                raise DataError(f"{where}, line {line}: unknown class {diagnosis!r}; known: {', '.join(CLASSES)}")
            if not lesion or not image:
                raise DataError(f"{where}, line {line}: no lesion_id or no image_id")
            if image in rows:
                raise DataError(f"{where}, line {line}: image {image} is there twice")
            rows[image] = (image, CLASSES.index(diagnosis), lesion)
        if missing := [image for image in rows if image not in self.files]:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DataError(f"{where} names {len(missing)} images that are not in {self.path}: {some}")
        if not rows:
            raise DataError(f"{where}: names no image")
        return sorted(rows.values(), key=lambda row: (row[1], row[0]))
