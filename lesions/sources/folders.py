"""Reads images that lie in a folder a class, `mel/anything.png`: a generator's pool."""

from pathlib import Path

import numpy as np

from lesions.index import DataError, Index
from lesions.labels import CLASSES

SUFFIXES = (".png", ".jpg", ".jpeg")


class ClassFolders:
    """A folder with a subfolder for each class: `index`, and the bytes of each image, as `Ham10000` has them.

    Each image counts as a lesion of its own. Raises `DataError` where there is no image at all.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._files = {
            f"{name}/{file.stem}": file
            for name in CLASSES
            for file in sorted((source / name).glob("*.*"))
            if file.suffix.lower() in SUFFIXES
        }
        if not self._files:
            raise DataError(f"{source}: no images in subfolders named {', '.join(CLASSES)}")
        images = tuple(self._files)
        labels = [CLASSES.index(image.partition("/")[0]) for image in images]
        self.index = Index(images, np.array(labels, dtype=np.int64), images)

    def read(self, image: str) -> bytes:
        """The bytes of the image called `image`. Raises `DataError` where they cannot be read."""
        try:
            return self._files[image].read_bytes()
        except OSError as error:
            raise DataError(f"{self._files[image]}: {error.strerror}") from None

    def where(self, image: str) -> str:
        """Where the image called `image` comes from, for a message."""
        return str(self._files[image])
