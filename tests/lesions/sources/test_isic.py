"""ISIC's one-hot table: what can be used is read, what cannot is named and left out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources.isic import IsicTable

HEADER = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def write(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())


@pytest.mark.parametrize("folder", ["", "ISIC2018_Task3_Test_Input/"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_each_row_is_used_or_named(tmp_path: Path, folder: str, delimiter: str) -> None:
    rows = [
        HEADER + ",UNK",
        "ISIC_1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
        "ISIC_2.jpg,0,0,0,0,0,0,1,0",
        "ISIC_3,0,0,0,0,0,0,0,0",
        "ISIC_4,0,0,0,0,0,0,0,1",
        "ISIC_5,1,1,0,0,0,0,0,0",
        "ISIC_6,1,0,0,0,0,0,0,0",
        "ISIC_1,1,0,0,0,0,0,0,0",
        "ISIC_7,,,,1,,,,",
    ]
    (tmp_path / "truth.csv").write_text("\ufeff" + "\n".join(rows).replace(",", delimiter) + "\n")
    write(tmp_path / folder, *(f"ISIC_{number}.jpg" for number in (1, 2, 3, 4, 5, 7)))
    table = IsicTable(tmp_path / "truth.csv")
    assert table.index.images == ("ISIC_1", "ISIC_2", "ISIC_7")
    assert [CLASSES[label] for label in table.index.labels] == ["mel", "vasc", "akiec"]
    assert table.read("ISIC_7") == b"ISIC_7.jpg"
    assert table.left_out == [
        "ISIC_3: unlabeled",
        "ISIC_4: unknown class 'unk'",
        "ISIC_5: several classes (mel, nv)",
        "ISIC_6: no such image beside truth.csv",
        "ISIC_1: a second row (line 8)",
    ]


def test_images_of_a_lesion_belong_together(tmp_path: Path) -> None:
    rows = "a,1,0,0,0,0,0,0,L1\nb,1,0,0,0,0,0,0, L1\nc,0,1,0,0,0,0,0,\n"
    (tmp_path / "truth.csv").write_text(f"{HEADER},lesion_id\n{rows}")
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert IsicTable(tmp_path / "truth.csv").index.lesions == ("L1", "L1", "c")


CELLS = st.sampled_from(["a", "a.jpg", "../b", "1", "0", "1e999", "nan", "", '"', "\r", "ü", "\0"])
TABLES = st.lists(st.lists(CELLS, max_size=10), max_size=6).map(
    lambda rows: "\n".join(",".join(row) for row in rows).encode()
)


@given(TABLES | st.binary(max_size=99), st.booleans())
def test_any_table_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, has_header: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, "a.jpg")
    write(folder.parent, "b.jpg")
    (folder / "truth.csv").write_bytes(HEADER.encode() + b"\n" + content if has_header else content)
    try:
        table = IsicTable(folder / "truth.csv")
        assert table.index.images in ((), ("a",))
        assert table.index.images or table.left_out
    except DataError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEADER[:-5]}\n", r"a\.csv: no column vasc in its first line"),
        (HEADER, r"a\.csv: names no image"),
        ("", "no column image, akiec"),
        (b"\xff\xfe\x00", "no column image, akiec"),
        (f"{HEADER}\n{'x' * 200_000},1", r"a\.csv: no table \(field larger"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        IsicTable(tmp_path / "a.csv")
