"""Small data sets in the layouts that people have."""

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from lesions.labels import CLASSES
from lesions.sources.image_files import ImageFiles

HEADER = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
LABELS = {f"X_{number}": CLASSES[number % 7] for number in (5, 3, 8, 0, 7)}
"""The class of each image."""


def picture(name: str) -> bytes:
    """A small PNG, another one for each name."""
    content = BytesIO()
    Image.new("RGB", (20, 16), tuple((name * 3).encode()[-3:])).save(content, "PNG")
    return content.getvalue()


def write(folder: Path, *names: str) -> None:
    """Write a picture of each name, whatever its suffix, which has its name in it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(Path(name).stem) + name.encode())


def dx_table(rows: dict[str, str] = LABELS, lesions: bool = True) -> str:
    """A table like HAM10000's: two images of each lesion."""
    lines = ["lesion_id,image_id,dx"] if lesions else ["image_id,dx"]
    for image, dx in rows.items():
        lines.append(f"L_{dx},{image},{dx}" if lesions else f"{image},{dx}")
    return "\n".join(lines) + "\n"


def one_hot_table(rows: dict[str, str] = LABELS, header: str = HEADER) -> str:
    """A table like that of ISIC's challenges."""
    names = header.lower().split(",")[1:]
    lines = [header]
    for image, dx in rows.items():
        lines.append(",".join([image, *("1.0" if name == dx else "0.0" for name in names)]))
    return "\n".join(lines) + "\n"


def zipped(folder: Path) -> Path:
    """The folder as a zip file beside it; the folder is gone."""
    file = Path(shutil.make_archive(str(folder), "zip", folder))
    shutil.rmtree(folder)
    return file


def zip_of(file: Path, members: Mapping[str, bytes | str], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip file with these members."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def classes_of(source: ImageFiles) -> dict[str, str]:
    """The class of each image, in the order of the index."""
    return {row.image: CLASSES[row.label] for row in source.index.rows()}


def in_order(labels: dict[str, str]) -> list[tuple[str, str]]:
    """Images and classes as an index has them: by class, then by name."""
    return sorted(labels.items(), key=lambda item: (item[1], item[0]))


def reasons(source: ImageFiles) -> Sequence[tuple[str, str]]:
    """Images that are left out, and why."""
    return [(image.image, image.reason) for image in source.left_out]
