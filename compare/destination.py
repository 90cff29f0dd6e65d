"""Where OUT says that a result goes; it is checked before anything is asked for."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lesions.errors import UserError
from lesions.files import atomic_write

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""The suffixes, and so the formats, that a picture can be written in."""


class Destination(NamedTuple):
    """A folder, and the name of the file in it if that was given."""

    folder: Path
    name: str = ""

    def file(self, default: str) -> Path:
        """The file; it is called `default` unless it was given a name."""
        return self.folder / (self.name or default)


def names_file(out: str) -> bool:
    """Whether OUT names a file: it has a suffix, and neither is a folder nor ends in a slash."""
    return not out.endswith("/") and bool(Path(out).suffix) and not Path(out).expanduser().is_dir()


def file_destination(out: str | None, default: Path, suffixes: Sequence[str] = PICTURES) -> Destination:
    """OUT, a file or the folder of one; the folder `default` if none is given. Raises `UserError` or `OSError`."""
    if out and not out.endswith("/") and not (path := Path(out).expanduser()).is_dir():
        if path.suffix.lower() not in suffixes:
            raise UserError(f"OUT={out}: a file's name ends in {', '.join(suffixes)}; a folder's in /")
        return _checked(Destination(path.parent, path.name))
    return folder_destination(out, default)


def folder_destination(out: str | None, default: Path) -> Destination:
    """OUT, a folder; the folder `default` if none is given. Raises `UserError` or `OSError`."""
    return _checked(Destination(Path(out).expanduser() if out else default))


def _checked(destination: Destination) -> Destination:
    """`destination`, if a file can be made there."""
    folder = destination.folder.absolute()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not existing.is_dir():
        raise UserError(f"OUT: {existing} is a file, not a folder")
    probe = existing / f"{destination.name or 'lesion-zoo'}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"OUT: nothing can be written into {existing} ({error.strerror})") from None
    return destination


def write_picture(file: Path, png: bytes) -> None:
    """Write a picture in the format of the file's suffix."""
    suffix = file.suffix.lower()
    if suffix != ".png":
        with Image.open(io.BytesIO(png)) as image, io.BytesIO() as content:
            image.convert("RGB").save(content, Image.registered_extensions()[suffix], quality=95)
            png = content.getvalue()
    atomic_write(file, png)
