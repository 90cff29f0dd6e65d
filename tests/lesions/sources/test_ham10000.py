"""HAM10000 in each form in which users have it, and a clear error for each fault."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources import open_source

METADATA = "HAM10000_metadata.csv"


def unpacked(folder: Path) -> Path:
    return folder


def flat(folder: Path) -> Path:
    for file in folder.glob("*/*.jpg"):
        file.rename(folder / file.name)
    return folder


def in_two_folders(folder: Path) -> Path:
    second = folder / "HAM10000_images_part_2"
    second.mkdir()
    for file in sorted((folder / "HAM10000_images_part_1").glob("*.jpg"))[::2]:
        file.rename(second / file.name)
    return folder


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "HAM10000_images_part_1.zip", "w") as archive:
        for file in folder.glob("*/*.jpg"):
            archive.write(file, file.name)
    shutil.rmtree(folder / "HAM10000_images_part_1")
    return folder


def one_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    return folder.with_suffix(".zip")


def tab_separated(folder: Path) -> Path:
    text = (folder / METADATA).read_text().replace(",", "\t")
    (folder / METADATA).unlink()
    (folder / "HAM10000_metadata.tab").write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8")
    return folder


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "ham10000"))


@pytest.mark.parametrize("form", [unpacked, flat, in_two_folders, zipped, one_zip, tab_separated])
def test_each_form_gives_the_same_data(tiny: Path, copy: Path, form: Callable[[Path], Path]) -> None:
    expected, data = open_source(tiny), open_source(form(copy))
    assert data.index.images == expected.index.images
    assert data.index.lesions == expected.index.lesions
    assert data.index.labels.tolist() == expected.index.labels.tolist()
    for image in data.index.images[:: len(data.index) // 5]:
        assert data.read(image) == expected.read(image)


def test_the_order_is_by_class_then_by_name(tiny: Path) -> None:
    index = open_source(tiny).index
    assert len(index) == 7 * 50
    assert list(zip(index.labels.tolist(), index.images, strict=True)) == sorted(
        zip(index.labels.tolist(), index.images, strict=True)
    )
    assert len(set(index.lesions)) == 7 * 40


def rewrite(folder: Path, old: str, new: str) -> None:
    file = folder / METADATA
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def lose_image(folder: Path) -> None:
    next(folder.glob("*/*.jpg")).unlink()


def lose_metadata(folder: Path) -> None:
    (folder / METADATA).unlink()


def cut_zip(folder: Path) -> None:
    zipped(folder)
    file = folder / "HAM10000_images_part_1.zip"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("break_data", "message"),
    [
        (lose_image, "names 1 image not in"),
        (lose_metadata, "no table of classes, and no images in folders of classes; DATA is a folder or zip file"),
        (cut_zip, "HAM10000_images_part_1.zip: not a whole zip file (cut short?)"),
        (lambda folder: rewrite(folder, ",akiec,", ",akeic,"), "line 2: unknown class 'akeic'; known: akiec, bcc"),
        (lambda folder: rewrite(folder, ",akiec,", ",,"), "line 2: unlabeled"),
        (
            lambda folder: rewrite(folder, "dx,", "type,"),
            "no table of classes (HAM10000_metadata.csv has",
        ),
        (lambda folder: rewrite(folder, "TINY_0001,", ","), "line 4: no lesion_id or no image_id"),
        (lambda folder: rewrite(folder, "TINY_00000,", ","), "line 2: no lesion_id or no image_id"),
        (
            lambda folder: rewrite(folder, "TINY_00001,akiec", "TINY_00000,akiec"),
            "line 3: image TINY_00000 is there twice",
        ),
        (
            lambda folder: rewrite(folder, "TINY_00001,akiec", "TINY_00000,mel"),
            "line 3: image TINY_00000 has several classes (akiec, mel)",
        ),
        (lambda folder: (folder / METADATA).write_text("lesion_id,image_id,dx\n"), "names no image"),
        (lambda folder: (folder / METADATA).write_text(f"lesion_id,image_id,dx\n{'l' * 200_000},"), "no table (field"),
    ],
)
def test_each_fault_has_its_message(copy: Path, break_data: Callable[[Path], None], message: str) -> None:
    break_data(copy)
    with pytest.raises(DataError) as caught:
        open_source(copy)
    assert message in str(caught.value)
    assert str(copy) in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder; DATA is a folder"):
        open_source(tmp_path / "nowhere")


def test_a_damaged_member_of_a_zip_names_the_file(copy: Path) -> None:
    zipped(copy)
    file = copy / "HAM10000_images_part_1.zip"
    content = bytearray(file.read_bytes())
    content[200] ^= 0xFF  # inside the first image
    file.write_bytes(content)
    data = open_source(copy)
    first = zipfile.ZipFile(file).namelist()[0]
    with pytest.raises(DataError, match=r"cannot be read .*; download the file again"):
        data.read(Path(first).stem)


@given(st.binary(max_size=300))
def test_any_metadata_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "a.jpg").touch()
    (folder / METADATA).write_bytes(b"lesion_id,image_id,dx\nl,a,nv\n" + content)
    try:
        assert set(open_source(folder).index.labels.tolist()) == {CLASSES.index("nv")}
    except DataError as error:
        assert str(folder) in str(error)


def small_zip(compression: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr(METADATA, "lesion_id,image_id,dx\n" + "".join(f"l{n},a{n},nv\n" for n in range(4)))
        for number in range(4):
            archive.writestr(f"a{number}.jpg", bytes([number]) * 60)
    return content.getvalue()


ZIPS = [
    small_zip(compression)
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
]
CHANGES = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=5)


@settings(max_examples=200)
@given(st.sampled_from(ZIPS), CHANGES, st.none() | st.integers(0, 1000))
def test_a_zip_damaged_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, changes: list[tuple[int, int]], kept: int | None
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "ham10000.zip"
    damaged = bytearray(content)
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    file.write_bytes(damaged if kept is None else damaged[:kept])
    try:
        data = open_source(file)
        for image in data.index.images:
            assert len(data.read(image)) == 60
    except DataError as error:
        assert str(file) in str(error)
