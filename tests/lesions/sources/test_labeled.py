"""Tables of labels: what can be used is read; what cannot is left out of a test set, and is an error in data."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesions.index import DataError
from lesions.sources import open_source
from tests.lesions.sources.layouts import HEADER, classes_of, reasons, write

SCC = "class scc is none of ours; SCC=akiec counts it as akiec"


@pytest.mark.parametrize("folder", ["", "ISIC2018_Task3_Test_Input/"])
def test_each_row_of_a_test_set_is_used_or_named(tmp_path: Path, folder: str) -> None:
    rows = [
        HEADER + ",UNK,WART,score_weight",
        "ISIC_1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0,1",
        "ISIC_2.jpg,0,0,0,0,0,0,1,0,0,1",
        "ISIC_3,0,0,0,0,0,0,0,0,0,1",
        "ISIC_4,0,0,0,0,0,0,0,1,0,1",
        "ISIC_5,0,0,0,0,0,0,0,0,1,1",
        "ISIC_6,1,0,0,0,0,0,0,0,0,1",
        "ISIC_1,1,0,0,0,0,0,0,0,0,1",
        "ISIC_7,,,,1,,,,,",
        ",1,0,0,0,0,0,0,0,0,1",
    ]
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    write(tmp_path / folder, *(f"ISIC_{number}.jpg" for number in (1, 2, 3, 4, 5, 7)))
    table = open_source(tmp_path / "truth.csv", is_test=True)
    assert classes_of(table) == {"ISIC_7": "akiec", "ISIC_1": "mel", "ISIC_2": "vasc"}
    assert table.read("ISIC_7").endswith(b"ISIC_7.jpg")
    assert reasons(table) == [
        ("ISIC_3", "unlabeled"),
        ("ISIC_4", "class unk is none of ours"),
        ("ISIC_5", "unknown class 'wart'"),
        ("ISIC_1", "a second row"),
        ("line 10", "no lesion_id or no image_id"),
        ("ISIC_6", "no such image beside truth.csv"),
    ]


def test_images_of_a_lesion_belong_together(tmp_path: Path) -> None:
    rows = "a,1,0,0,0,0,0,0,L1\nb,1,0,0,0,0,0,0, L1\nc,0,1,0,0,0,0,0,\n"
    (tmp_path / "truth.csv").write_text(f"{HEADER},lesion_id\n{rows}")
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert open_source(tmp_path).index.lesions == ("L1", "L1", "c")


@pytest.mark.parametrize("is_test", [False, True])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"{HEADER}\na,1,1,0,0,0,0,0\n", "line 2: image a has several classes (mel, nv)"),
        (f"{HEADER}\na,1,0,0,0,0,0,0\na.jpg,0,1,0,0,0,0,0\n", "line 3: image a.jpg has several classes (mel, nv)"),
        (
            "image_id,dx\np/a.png,mel\nq/a.png,nv\n",
            "line 3: image q/a.png has several classes (mel, nv)"
            "; folders of names do not count: give each file a name of its own",
        ),
        ("image_id,dx\na,mel\na,scc\n", "line 3: image a has several classes (mel, scc)"),
        ("image_id,dx\na,wart\na,mel\n", "line 3: image a has several classes (wart, mel)"),
    ],
)
def test_a_picture_in_two_classes_is_an_error(tmp_path: Path, table: str, message: str, is_test: bool) -> None:
    (tmp_path / "truth.csv").write_text(table)
    write(tmp_path, "a.jpg")
    with pytest.raises(DataError) as caught:
        open_source(tmp_path, is_test=is_test)
    assert str(caught.value) == f"{tmp_path}/truth.csv, {message}"


def test_a_typing_error_in_dx_is_an_error_in_data_alone(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("image_id,dx\na,MEL\nb,scc\nc,nw\n")
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    with pytest.raises(DataError, match=r"truth\.csv, line 4: unknown class 'nw'; known: akiec, bcc"):
        open_source(tmp_path)
    table = open_source(tmp_path, is_test=True)
    assert classes_of(table) == {"a": "mel"}
    assert reasons(table) == [("b", SCC), ("c", "unknown class 'nw'")]
    (tmp_path / "truth.csv").write_text("image_id,dx\na,MEL\nb,scc\n")
    assert reasons(open_source(tmp_path)) == [("b", SCC)], "a known class is no typing error"
    assert classes_of(open_source(tmp_path, "akiec")) == {"b": "akiec", "a": "mel"}


def test_the_isic_archives_metadata(tmp_path: Path) -> None:
    rows = [
        "isic_id,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,lesion_id,sex",
        'I_1,50,head/neck,Malignant,Malignant melanocytic proliferations,"Melanoma, NOS",,IL_1,male',
        "I_2,,,Benign,Benign melanocytic proliferations,Nevus,Blue,IL_2,",
        "I_3,85,torso,Malignant,x,Squamous cell carcinoma in situ,,,female",
        'I_4,85,torso,Malignant,x,"Squamous cell carcinoma, NOS",,,female',
        "I_5,inf,torso,Benign,x,Scar,,,unknown",
        "I_6,-1,torso,,,,,,",
        "I_7,30.0,torso,Benign,x,Nevus,Solar lentigo,,",
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    write(tmp_path, *(f"images/I_{number}.jpg" for number in range(1, 8)))
    table = open_source(tmp_path)
    assert classes_of(table) == {"I_3": "akiec", "I_7": "bkl", "I_1": "mel", "I_2": "nv"}
    assert reasons(table) == [("I_4", SCC), ("I_5", "unknown class 'Scar'"), ("I_6", "unlabeled")]
    assert table.index.lesions == ("I_3", "I_7", "IL_1", "IL_2")
    assert table.index.age[:3].tolist() == [85.0, 30.0, 50.0]
    assert math.isnan(table.index.age[3])
    assert table.index.sex == ("female", "", "male", "")
    assert table.index.site == ("torso", "torso", "head/neck", "")


CELLS = st.sampled_from(["a", "a.jpg", "../b", "1", "0", "1e999", "nan", "", '"', "\r", "ü", "\0"])
TABLES = st.lists(st.lists(CELLS, max_size=10), max_size=6).map(
    lambda rows: "\n".join(",".join(row) for row in rows).encode()
)


@given(TABLES | st.binary(max_size=99), st.sampled_from(["", HEADER, "image,dx", "isic_id,diagnosis_3"]), st.booleans())
def test_any_table_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: str, is_test: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, "a.jpg")
    (folder / "truth.csv").write_bytes(header.encode() + b"\n" * bool(header) + content)
    try:
        table = open_source(folder / "truth.csv", is_test=is_test)
        assert table.index.images == ("a",) or (is_test and table.left_out)
    except DataError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEADER[:-5]}\na,1,0,0,0,0,0", r"a\.csv: no column vasc in its first line, and no column dx or diagnosis"),
        (HEADER, r"a\.csv: names no image"),
        ("", r"a\.csv: no column image \(or image_id, isic_id, \.\.\.\) in its first line"),
        (b"\xff\xfe\x00", "no column image"),
        ("name,dx\n", "no column image"),
        (f"{HEADER}\n{'x' * 200_000},1", r"a\.csv: no table \(field larger"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "a.csv")


def test_numbers_may_have_commas(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text(f"{HEADER.replace(',', ';')};age\na;1,0;0,0;0;0;0;0;0;45,5\nb;0;1,0;0;0;0;0;0;50\n")
    source = open_source(tmp_path)
    assert classes_of(source) == {"a": "mel", "b": "nv"}
    assert source.index.age.tolist() == [45.5, 50]
