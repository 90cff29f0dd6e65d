"""Notices one picture in the folders of two classes, by the content of its files."""

import hashlib

from lesions.index import DataError
from lesions.sources.image_files import ImageFiles


class Contents:
    """The contents that were read of a source so far. It may be used by several threads at once."""

    def __init__(self, source: ImageFiles) -> None:
        self._source = source
        self._labels = dict(zip(source.index.images, source.index.labels.tolist(), strict=True))
        self._images: dict[bytes, str] = {}

    def check(self, image: str, content: bytes) -> None:
        """Raise `DataError` where an image of another class has the same content, if the source `may_repeat` one."""
        if not self._source.may_repeat:
            return
        before = self._images.setdefault(hashlib.sha256(content).digest(), image)
        if self._labels[before] != self._labels[image]:
            both = " and ".join(sorted(map(self._source.where, (before, image))))
            raise DataError(f"{both} are the same picture, in two classes; delete the wrong one")
