"""Finds images and tables: in a folder and all below it, in its zip files, or in one zip file."""

import errno
import lzma
import os
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from lesions.index import DataError
from lesions.sources.diagnoses import class_named

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".dcm")
TABLES = (".csv", "", ".tab", ".tsv")
"""Suffixes of tables, the preferred one first. A table without one is called `...metadata`, as Dataverse has it."""

READABLE = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}  # APPNOTE.TXT, 4.4.5
REMEDY = "unpack it with unzip or 7z, and point DATA (or TEST) at the folder"


class SeveralPicturesError(DataError):
    """Different images of the name that a table has."""


@dataclass(frozen=True, eq=False)
class File:
    """A file in a folder, or a member of a zip file. It may be read by several threads at once."""

    place: Path
    """Where it lies: the file itself, or the zip file."""
    path: PurePosixPath
    """Its path below the folder that was searched. A zip file counts as a folder, by its name without suffix."""
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    def read(self, size: int = -1) -> bytes:
        """The first `size` bytes, or all. Raises `DataError`, which names the file."""
        if self.problem:
            raise DataError(f"{self.place}: {self.problem}")
        try:
            if self.archive is None or self.member is None:
                with self.place.open("rb") as content:
                    return content.read(size)
            with self.archive.open(self.member) as unpacked:
                return unpacked.read(size)
        except OSError as error:
            raise DataError(f"{self}: {error.strerror or error}") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError) as error:
            raise DataError(f"{self} cannot be read ({error}); download the file again") from None

    @property
    def problem(self) -> str | None:
        """Why Python cannot unpack it, and what to do; none if it can."""
        if self.member is None:
            return None
        if self.member.flag_bits & 1:
            return f"encrypted with a password: {REMEDY}"
        if (method := self.member.compress_type) not in READABLE:
            name = METHODS.get(method, f"method {method}")
            return f"compressed with {name}, which Python cannot unpack: {REMEDY}"
        return None

    @property
    def stamp(self) -> tuple[int, int]:
        """Size, and time of the last change or checksum: another file of this name has another stamp."""
        if self.member is not None:
            return self.member.file_size, self.member.CRC
        try:
            status = self.place.stat()
        except OSError as error:
            raise DataError(f"{self}: {error.strerror}") from None
        return status.st_size, status.st_mtime_ns

    @property
    def unpacked_places(self) -> set[PurePosixPath]:
        """Where a member of a zip file lies after unpacking: in a folder of the zip file's name, or beside it."""
        if self.member is None:
            return set()
        inside = _member_path(self.member)
        folder = self.path.parents[len(inside.parts) - 1]
        return {self.path, folder.parent / inside}

    def __str__(self) -> str:
        return str(self.place) if self.member is None else f"{self.place}/{_member_path(self.member)}"


@dataclass(frozen=True)
class Found:
    """What was found in `root`, a folder or a zip file."""

    root: Path
    images: list[File]
    tables: list[File]
    nested: list[File]
    """Zip files in zip files, which are not read."""
    broken: list[str]
    """What is wrong with zip files and folders that were passed over."""

    @cached_property
    def by_stem(self) -> dict[str, list[File]]:
        """The images by their names without suffix."""
        files: dict[str, list[File]] = defaultdict(list)
        for file in self.images:
            files[file.path.stem].append(file)
        return dict(files)

    def image(self, name: str) -> File | None:
        """The image that a table calls `name`, with or without a path and a suffix.

        Of several, an unpacked one wins, then the one of exactly this path or suffix, then the least deep, then the
        first by name. Raises `SeveralPicturesError` where only the name of the folder would decide, and the files
        differ in size: one may be a mask, or a smaller copy.
        """
        end = "/" + name.replace("\\", "/").lstrip("./")

        def rank(file: File) -> tuple[bool, bool, int]:
            return file.member is not None, not f"/{file.path}".endswith(end), len(file.path.parts)

        files = sorted(self.by_stem.get(stem(name), ()), key=lambda file: (rank(file), str(file.path)))
        for file in files[1:]:
            alike = rank(file) == rank(files[0]) and file.path.parent != files[0].path.parent
            if alike and file.stamp[0] != files[0].stamp[0]:
                raise SeveralPicturesError(
                    f"{files[0]} and {file} are two pictures of one name; move one folder elsewhere, or name "
                    "paths in the table"
                )
        return files[0] if files else None

    @property
    def hint(self) -> str:
        """What to add to a message on missing files."""
        if self.nested:
            return f"; {self.nested[0]} is a zip file in a zip file: {REMEDY}"
        return f"; passed over: {self.broken[0]}" if self.broken else ""


def stem(name: str) -> str:
    """The name of an image without path and suffix. A dot in a name without suffix is part of the name."""
    file = name.replace("\\", "/").rpartition("/")[2]
    before, _, suffix = file.rpartition(".")
    return before if before and f".{suffix.lower()}" in SUFFIXES else file


def is_zip(path: Path) -> bool:
    """Whether the name is that of a zip file."""
    return path.suffix.lower() == ".zip"


def find(root: Path, depth: int | None = None, is_data_set: bool = True) -> Found:
    """Find the images and tables in `root`, at most `depth` folders deep (any depth, unless given).

    Hidden files, `__MACOSX`, `lost+found` and segmentations are no images. Raises `DataError` for a zip file that is
    cut short, and for a folder that cannot be read. Where `root` is no data set, but where one may lie, these are
    passed over.
    """
    found = Found(root, [], [], [], [])
    broken = None if is_data_set else found.broken
    files = _in_zip(root, PurePosixPath()) if root.is_file() else _in_folder(root, depth, broken)
    for file in files:
        suffix = file.path.suffix.lower()
        if suffix in SUFFIXES:
            found.images.append(file)
        elif suffix == ".zip" and file.member is not None:
            found.nested.append(file)
        elif suffix in TABLES and (suffix or file.path.name.lower().endswith("metadata")):
            found.tables.append(file)
    return found


def _in_folder(root: Path, depth: int | None, broken: list[str] | None) -> Iterator[File]:
    """The files in a folder, its subfolders (links, too) and its zip files; those of a folder in order of name.

    What cannot be read is added to `broken`, if there is such a list; else it raises `DataError`. Links to nowhere or
    in a circle are passed over.
    """

    def unreadable(error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return
        if broken is None:
            raise DataError(f"{error.filename}: {error.strerror}")
        broken.append(f"{error.filename}: {error.strerror}")

    seen: set[tuple[int, int]] = set()  # a link may lead back to where it lies
    for name, folders, files in os.walk(root, onerror=unreadable, followlinks=True):
        folder = Path(name)
        try:
            status = folder.stat()
        except OSError as error:
            unreadable(error)
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below = folder.relative_to(root)
        is_deep = depth is not None and len(below.parts) >= depth
        shown = [sub for sub in folders if not _is_hidden(sub)]
        folders[:] = [] if is_deep else sorted(shown, key=lambda sub: (_turn(folder / sub), sub))
        for file in sorted(files):
            place = folder / file
            try:
                if _is_hidden(file) or not stat.S_ISREG(place.stat().st_mode):
                    continue
            except OSError as error:
                unreadable(error)
                continue
            # A name that is no UTF-8 could not be written into the cache's index.
            path = PurePosixPath(os.fsencode(below / file).decode(errors="replace"))
            if not is_zip(place):
                yield File(place, path)
            elif "segmentation" not in file.lower():
                try:
                    yield from _in_zip(place, path.with_suffix(""))
                except DataError as error:
                    if broken is None:
                        raise
                    broken.append(str(error))


def _turn(folder: Path) -> int:
    """When a subfolder is searched: a link after the folder that it may lead to, but before it where only the link is
    named as a class. A folder is searched once.
    """
    if not folder.is_symlink():
        return 1
    return 0 if class_named(folder.name) and not class_named(folder.resolve().name) else 2


def _in_zip(place: Path, folder: PurePosixPath) -> Iterator[File]:
    """The members of a zip file, as if it were the folder `folder`. Raises `DataError`."""
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError):
        raise DataError(f"{place}: not a whole zip file (cut short?); download it again") from None
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from None
    for member in archive.infolist():
        path = _member_path(member)
        if not member.filename.endswith(("/", "\\")) and not any(map(_is_hidden, path.parts)):
            yield File(place, folder / path, archive, member)


def _member_path(member: zipfile.ZipInfo) -> PurePosixPath:
    """The path in the zip file; some programs of Windows write backslashes."""
    return PurePosixPath(member.filename.replace("\\", "/").lstrip("/"))


def _is_hidden(name: str) -> bool:
    return name in ("__MACOSX", "lost+found") or (name.startswith(".") and name != "..")
