"""Test images from outside the study: what can be used is, what cannot is named."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compare.labeled import held_out_images, images_seen_in_training
from compare.outside import outside
from lesions.index import DataError
from lesions.labels import CLASSES

if TYPE_CHECKING:
    from tests.compare.conftest import Standing

HEAD = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), "tan").save(content, "JPEG")
    return content.getvalue()


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture())


def test_the_test_split_and_nothing_else(standing: "Standing") -> None:
    labeled = held_out_images(standing.folders)
    assert not images_seen_in_training(standing.folders).intersection(labeled.index.images)
    assert len(labeled.index) == 49
    text = standing.folders.split.read_text()
    some = next(line.partition(",")[0] for line in text.splitlines() if line.endswith(",train"))
    standing.folders.split.write_text(text.replace(",train\n", ",left out\n", 1))
    assert some not in images_seen_in_training(standing.folders), "left out is not learned"
    standing.folders.split.write_text(text)
    assert labeled.split_sha256 == standing.split_sha256
    assert labeled.source.read(labeled.index.images[0]).startswith(b"\xff\xd8")
    with standing.folders.split.open("a") as file:
        file.write("ELSEWHERE,l,nv,test\n")
    with pytest.raises(DataError, match="lacks 1 images of the test split, ELSEWHERE first"):
        held_out_images(standing.folders)
    standing.folders.split.unlink()
    with pytest.raises(DataError, match=r"split\.csv; the study was never made: make zoo"):
        held_out_images(standing.folders)


def test_class_folders(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg", "nv/deeper/b.jpg", "nv/seen.jpg", "nevus/c.jpg", "d.jpg", "vasc/notes.txt")
    (tmp_path / "df").mkdir()
    (tmp_path / "df" / "e.png").write_bytes(b"no picture")
    found = outside(tmp_path, {"seen"})
    assert found.index.images == ("mel/a.jpg", "nv/deeper/b.jpg")
    assert [CLASSES[label] for label in found.index.labels] == ["mel", "nv"]
    assert found.split_sha256 is None
    assert sorted(found.left_out) == [
        "d.jpg: unlabeled (it lies in no class's folder)",
        "df/e.png: not an image of a supported format (JPEG, PNG, WEBP, TIFF, BMP, GIF)",
        "nevus/c.jpg: unknown class 'nevus'",
        "nv/seen.jpg: the study has trained on it, or chosen by it",
    ]
    assert found.source.read("mel/a.jpg") == picture()
    with pytest.raises(DataError, match=r"4 images cannot be used:\n  d.jpg: unlabeled"):
        outside(tmp_path, {"seen"}, strict=True)


@pytest.mark.parametrize("beside", ["", "ISIC2018_Task3_Test_Input/"])
def test_isics_table(tmp_path: Path, beside: str) -> None:
    rows = [
        HEAD + ",UNK",
        "ISIC_1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
        "ISIC_2.jpg,0,0,0,0,0,0,1,0",
        "ISIC_3,0,0,0,0,0,0,0,0",
        "ISIC_4,0,0,0,0,0,0,0,1",
        "ISIC_5,1,1,0,0,0,0,0,0",
        "ISIC_6,1,0,0,0,0,0,0,0",
        "ISIC_1,1,0,0,0,0,0,0,0",
        "ISIC_7,,,,1,,,,",
    ]
    (tmp_path / "truth.csv").write_text("\ufeff" + "\n".join(rows) + "\n")
    write(tmp_path / beside, *(f"ISIC_{number}.jpg" for number in (1, 2, 3, 4, 5, 7)))
    found = outside(tmp_path / "truth.csv", ())
    assert found.index.images == ("ISIC_1", "ISIC_2", "ISIC_7")
    assert [CLASSES[label] for label in found.index.labels] == ["mel", "vasc", "akiec"]
    assert found.left_out == (
        "ISIC_3: unlabeled",
        "ISIC_4: unknown class 'unk'",
        "ISIC_5: several classes (mel, nv)",
        "ISIC_6: no such image beside truth.csv",
        "ISIC_1: a second row (line 8)",
    )
    with pytest.raises(DataError, match=r"5 images cannot be used:\n  ISIC_3: unlabeled"):
        outside(tmp_path / "truth.csv", (), strict=True)


def test_images_of_a_lesion_belong_together(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(f"{HEAD},lesion_id\na,1,0,0,0,0,0,0,L1\nb,1,0,0,0,0,0,0,L1\nc,0,1,0,0,0,0,0,\n")
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert outside(tmp_path / "truth.csv", ()).index.lesions == ("L1", "L1", "c")


def test_replaced_images_are_others(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg")
    before = outside(tmp_path, ()).digest
    assert outside(tmp_path, ()).digest == before
    Image.new("RGB", (50, 50)).save(tmp_path / "mel" / "a.jpg")
    assert outside(tmp_path, ()).digest != before


LINES = st.lists(
    st.lists(st.sampled_from(["a", "a.jpg", "../b", "1", "0", "1e999", "nan", "", '"', "\r", "ü", "\0"]), max_size=10),
    max_size=6,
)


@given(
    LINES.map(lambda rows: "\n".join(",".join(row) for row in rows).encode()) | st.binary(max_size=99), st.booleans()
)
def test_whatever_a_table_says_it_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, headed: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, "a.jpg")
    (folder.parent / "b.jpg").write_bytes(picture())
    (folder / "truth.csv").write_bytes(HEAD.encode() + b"\n" + content if headed else content)
    try:
        assert outside(folder / "truth.csv", ()).index.images == ("a",)
    except DataError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none", None, r"TEST=.*none: no such file or folder; it is a folder with subfolders named akiec, .* VASC"),
        ("a.csv", f"{HEAD[:-5]}\n", "no column vasc; TEST is a folder"),
        ("a.csv", HEAD, "nothing labeled; TEST is a folder"),
        ("a.csv", f"{HEAD}\nx,1,0,0,0,0,0,0\n", "1 images cannot be used:\n  x: no such image beside a.csv"),
        ("a.csv", b"\xff\xfe\x00", "codec can't decode"),
    ],
)
def test_a_source_that_is_none(tmp_path: Path, name: str, content: str | bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=said):
        outside(tmp_path / name, ())
