"""Finds image files, and reads them by name; class folders, `mel/anything.png`."""

import lzma
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesions.index import DataError, Index
from lesions.labels import CLASSES

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


def find_images(folder: Path, pattern: str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The image files of `folder` that fit the glob `pattern`, sorted; suffixes in any case."""
    return sorted(file for file in folder.glob(pattern) if file.suffix.lower() in suffixes)


def images_by_stem(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Path]:
    """The image files in `folder` and its subfolders by their names without suffix; those in subfolders win."""
    return {file.stem: file for pattern in ("*", "*/*") for file in find_images(folder, pattern, suffixes)}


class ImageFiles:
    """Labeled images that are files: the base of every source."""

    index: Index

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Path | zipfile.Path] = {}  # by the image's name, unpacked or in a zip file
        self.left_out: list[str] = []  # images that cannot be used, as `name: reason`

    def read(self, image: str) -> bytes:
        """The bytes of the image file. Raises `DataError` where it cannot be read."""
        try:
            return self.files[image].read_bytes()
        except OSError as error:
            raise DataError(f"{self.files[image]}: {error.strerror or error}") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.where(image)} cannot be read ({error}); download the file again") from None

    def where(self, image: str) -> str:
        """Where the image is, for an error message."""
        return str(self.files[image])

    def fingerprint(self) -> list[list[Any]]:
        """Name, size and time of each file that may be read: so a replaced, new or deleted one is noticed."""
        folder = self.path if self.path.is_dir() else self.path.parent
        beside = self.path.glob("*") if self.path.is_dir() else [self.path]
        files = {*beside, *(file for file in self.files.values() if isinstance(file, Path))}
        stats = [(file, file.stat()) for file in sorted(files) if file.is_file()]
        return [[str(file.relative_to(folder)), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


class ClassFolders(ImageFiles):
    """A folder with a subfolder for each class: a generator's pool, or test images.

    Images are called by their paths in it, `mel/a.jpg`, and each counts as a lesion of its own. Images elsewhere are
    `left_out`. Raises `DataError` where there is no image at all.
    """

    def __init__(self, path: Path, suffix_in_names: bool = True) -> None:
        super().__init__(path)
        for file in find_images(path, "**/*"):
            name = file.relative_to(path)
            if len(name.parts) == 1:
                self.left_out.append(f"{name}: unlabeled (it lies in no class's folder)")
            elif name.parts[0] not in CLASSES:
                self.left_out.append(f"{name.as_posix()}: unknown class {name.parts[0]!r}")
            else:
                self.files[(name if suffix_in_names else name.with_suffix("")).as_posix()] = file
        if not self.files and not self.left_out:
            raise DataError(f"{path}: no images in subfolders named {', '.join(CLASSES)}")
        self.index = Index.of((image, CLASSES.index(image.partition("/")[0]), image) for image in self.files)
