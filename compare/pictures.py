"""The pictures that IMAGE names: a file, several, a folder, or a pattern such as `photos/*.jpg`."""

import os
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from lesions.errors import UserError
from lesions.sources.files import SUFFIXES


def named(texts: Iterable[str]) -> list[Path]:
    """Each picture once, in the order of the names; of a folder, its files with the suffix of a picture.

    A blank may be part of a name or stand between two: the longest name that exists counts. A name of nothing is
    returned as it is, so that an error can name it. Raises `UserError` for a folder without pictures.
    """
    return list(dict.fromkeys(picture for text in texts for picture in _split(text)))


def read(picture: Path) -> bytes:
    """The bytes of a picture's file. Raises `UserError`."""
    try:
        return picture.read_bytes()
    except OSError as error:
        raise UserError(f"{shown(picture)}: {error.strerror}") from None


def shown(path: Path) -> str:
    """A path as it can be printed, whatever bytes its name is made of."""
    return os.fsencode(path).decode(errors="replace")


def _split(text: str) -> list[Path]:
    words, pictures, exist = text.split(" "), list[Path](), False
    while words:
        for count in range(len(words), 0, -1):
            if found := _find(" ".join(words[:count])):
                exist = True
                break
        else:
            found = [Path(words[0])] if words[0] else []
        pictures += found
        del words[:count]
    return pictures if exist else [Path(text)]


def _find(name: str) -> list[Path]:
    path = os.path.expanduser(name)
    pictures: list[Path] = []
    for match in [path] if os.path.exists(path) else sorted(glob(path, recursive=True)):
        if os.path.isdir(match):
            files = (file for file in sorted(Path(match).iterdir()) if not file.name.startswith("."))
            inside = [file for file in files if file.suffix.lower() in SUFFIXES]
            if not inside:
                raise UserError(f"{shown(Path(match))}/: no picture in this folder ({', '.join(SUFFIXES)})")
            pictures += inside
        else:
            pictures.append(Path(match))
    return pictures
