"""What DATA and TEST may name: the tables and folders of the ISIC challenges, and one table of several."""

import shutil
from pathlib import Path

import pytest

from lesions.index import DataError, Row
from lesions.sources import open_source
from tests.lesions.sources.layouts import (
    LABELS,
    classes_of,
    dx_table,
    in_order,
    one_hot_table,
    picture,
    reasons,
    write,
    zip_of,
    zipped,
)


def test_the_challenge_of_2018(tmp_path: Path) -> None:
    folder = tmp_path / "ISIC2018"
    truth = folder / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv"
    write(folder / "ISIC2018_Task3_Training_Input", *(f"{image}.jpg" for image in LABELS))
    truth.parent.mkdir()
    truth.write_text(one_hot_table())
    groups = "image,lesion_id,diagnosis_confirm_type\n" + "".join(f"{image},L_{LABELS[image]},x\n" for image in LABELS)
    (folder / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(groups)
    expected = None
    for path in (folder, truth):
        for is_test in (False, True):
            source = open_source(path, is_test=is_test)
            assert list(classes_of(source).items()) == in_order(LABELS)
            assert len(set(source.index.lesions)) == 4
            expected = expected or source.index.rows()
            assert str(source.index.rows()) == str(expected)
    assert str(open_source(zipped(Path(shutil.copytree(folder, tmp_path / "all")))).index.rows()) == str(expected)
    for part in [part for part in folder.iterdir() if part.is_dir()]:
        zipped(part)
    assert str(open_source(folder).index.rows()) == str(expected)


def test_the_challenge_of_2019(tmp_path: Path) -> None:
    header = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    rows = {"a": "mel", "b": "ak", "c": "scc", "d": "unk"}
    (tmp_path / "ISIC_2019_Training_GroundTruth.csv").write_text(one_hot_table(rows, header))
    (tmp_path / "ISIC_2019_Training_Metadata.csv").write_text(
        "image,age_approx,anatom_site_general,lesion_id,sex\na,55.0,anterior torso,,female\nb,,,BCN_1,\n"
    )
    write(tmp_path / "ISIC_2019_Training_Input", *(f"{image}.jpg" for image in rows))
    source = open_source(tmp_path)
    assert classes_of(source) == {"b": "akiec", "a": "mel"}
    assert [image for image, _ in reasons(source)] == ["c", "d"]
    assert source.index.lesions == ("BCN_1", "a")
    assert source.index.age[1] == 55
    assert source.index.site == ("", "anterior torso")
    assert classes_of(open_source(tmp_path, "akiec")) == {"b": "akiec", "c": "akiec", "a": "mel"}


def test_one_of_several_tables_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    for name, image in {"HAM10000_metadata": "a", "Train.csv": "b", "my_TEST.csv": "c"}.items():
        (tmp_path / name).write_text(dx_table({image: "nv"}))
    (tmp_path / "hmnist_8_8_L.csv").write_text("pixel0000,label\n1,2\n")
    assert classes_of(open_source(tmp_path)) == {"a": "nv"}
    assert classes_of(open_source(tmp_path, is_test=True)) == {"c": "nv"}
    (tmp_path / "HAM10000_metadata").unlink()
    assert classes_of(open_source(tmp_path)) == {"b": "nv"}
    (tmp_path / "my_TEST.csv").rename(tmp_path / "mine.csv")
    with pytest.raises(DataError) as caught:
        open_source(tmp_path, is_test=True)
    several = f"several tables of classes ({tmp_path}/Train.csv, {tmp_path}/mine.csv); name one of them"
    assert str(caught.value) == f"{tmp_path}: {several}: TEST={tmp_path}/Train.csv"
    assert classes_of(open_source(tmp_path / "mine.csv")) == {"c": "nv"}


def test_copies_of_a_table_are_one_table(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    (tmp_path / "truth.tab").write_text(dx_table({"a": "mel"}).replace(",", "\t"))
    for folder in (tmp_path, tmp_path / "backup"):
        folder.mkdir(exist_ok=True)
        (folder / "truth.csv").write_text(dx_table({"a": "nv"}))
    zip_of(tmp_path / "all.zip", {"truth.csv": dx_table({"a": "df"})})
    source = open_source(tmp_path)
    assert classes_of(source) == {"a": "nv"}
    assert str(source.tables[0]) == str(tmp_path / "truth.csv")
    (tmp_path / "backup" / "truth.csv").write_text(dx_table({"a": "df"}))
    with pytest.raises(DataError, match="several tables of classes"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="SCC=wart: no such class; there are: akiec, bcc"):
        open_source(tmp_path, "wart")


def test_images_beside_a_tables_folder_are_only_taken_for_a_table(tmp_path: Path) -> None:
    write(tmp_path, "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "truth.csv").write_text(dx_table({"a": "nv"}, lesions=False))
    assert classes_of(open_source(tmp_path / "labels" / "truth.csv")) == {"a": "nv"}
    with pytest.raises(DataError, match=r"truth\.csv names 1 image not in .*/labels: a$"):
        open_source(tmp_path / "labels")
    (tmp_path / "groups.csv").write_text("image,lesion\na,L1\n")
    (tmp_path / "else.csv").write_text('image,sex\nb,male\na,"open\n')
    (tmp_path / "else.zip").write_bytes(b"PK")
    zip_of(tmp_path / "damaged.zip", {"persons.csv": "image,age\na,5\n"})
    content = (tmp_path / "damaged.zip").read_bytes()
    (tmp_path / "damaged.zip").write_bytes(content.replace(b"a,5", b"a,6"))
    source = open_source(tmp_path / "labels" / "truth.csv")
    assert str(source.index.rows()) == str([Row("a", 5, "L1")]), "tables there that are damaged are of something else"


def test_a_thousand_missing_images_are_three_names_and_a_count(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(dx_table({f"i{k}": "nv" for k in range(1000)}))
    with pytest.raises(DataError, match=r"truth\.csv names 1,000 images not in .*: i0, i1, i2, \.\.\.$"):
        open_source(tmp_path)
    assert len(open_source(tmp_path, is_test=True).left_out) == 1000


def test_data_of_which_nothing_can_be_used(tmp_path: Path) -> None:
    write(tmp_path, "scc/a.jpg", "b.jpg")
    with pytest.raises(DataError) as caught:
        open_source(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: no image can be used:",
        "  unlabeled (it lies in no class's folder): 1 image (b.jpg)",
        "  class scc is none of ours; SCC=akiec counts it as akiec: 1 image (scc/a.jpg)",
    ]


def test_a_zipped_table_of_another_folder_is_a_table(tmp_path: Path) -> None:
    write(tmp_path, "train/a.jpg")
    (tmp_path / "train" / "metadata.csv").write_text(dx_table({"a": "nv"}))
    zip_of(tmp_path / "test.zip", {"metadata.csv": dx_table({"b": "mel"}), "b.jpg": picture("b")})
    for is_test in (False, True):
        with pytest.raises(
            DataError, match=r"several tables of classes \(.*test\.zip/metadata\.csv, .*metadata\.csv\)"
        ):
            open_source(tmp_path, is_test=is_test)
    zip_of(tmp_path / "test.zip", {"metadata.csv": dx_table({"a": "nv"})})
    assert str(open_source(tmp_path).tables[0]) == f"{tmp_path}/train/metadata.csv", "an unpacked one first"
