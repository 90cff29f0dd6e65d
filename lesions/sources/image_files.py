"""Labeled images that are files: what every source is."""

from typing import Any

from lesions.index import Index
from lesions.sources.files import File, Found
from lesions.sources.left_out import LeftOut


class ImageFiles:
    """Labeled images, read by name. `read` may be called by several threads at once."""

    index: Index

    def __init__(self, found: Found) -> None:
        self.path = found.root
        self.files: dict[str, File] = {}
        """By the image's name, unpacked or in a zip file."""
        self.tables: list[File] = []
        """What the index was read from, besides the names of files."""
        self.left_out: list[LeftOut] = []
        self.lesions_known = True
        """Whether any image's lesion is known; else each counts as a lesion of its own."""
        self.may_repeat = False
        """Whether one picture may lie in two classes, which only the content of the files tells."""

    def read(self, image: str) -> bytes:
        """The bytes of the image file. Raises `DataError` where it cannot be read."""
        return self.files[image].read()

    def where(self, image: str) -> str:
        """Where the image is, for an error message."""
        return str(self.files[image])

    def fingerprint(self) -> list[list[Any]]:
        """Name, size, and time or checksum of each file that was or will be read: so a change is noticed."""
        files = [*self.tables, *self.files.values()]
        return sorted([str(file.path), *file.stamp] for file in files)
