"""Class folders: images are found by suffix, labeled by folder, and named by path; others are named and left out."""

from pathlib import Path, PurePosixPath

import pytest

from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources import persons
from lesions.sources.folders import ClassFolders
from tests.lesions.sources.layouts import classes_of, picture, reasons, write, zip_of


def test_images_are_labeled_by_their_folders(tmp_path: Path) -> None:
    write(tmp_path, "nv/deeper/b.JPG", "mel/a.jpg", "mel/a.png")
    (tmp_path / "manifest.json").touch()
    folders = ClassFolders(tmp_path)
    assert folders.index.images == folders.index.lesions == ("mel/a.jpg", "mel/a.png", "nv/deeper/b.JPG")
    assert [CLASSES[label] for label in folders.index.labels] == ["mel", "mel", "nv"]
    assert folders.left_out == []
    assert folders.read("mel/a.png").endswith(b"mel/a.png")
    assert folders.where("mel/a.png") == str(tmp_path / "mel" / "a.png")
    (tmp_path / "mel" / "a.png").unlink()
    with pytest.raises(DataError, match=r"mel/a\.png: No such file"):
        folders.read("mel/a.png")
    with pytest.raises(DataError, match=r"mel/a\.png: No such file"):
        folders.fingerprint()


def test_images_elsewhere_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "d.jpg", "nevus/c.jpg", "SCC/e.jpg")
    folders = ClassFolders(tmp_path)
    assert len(folders.index) == 0
    assert reasons(folders) == [
        ("d.jpg", "unlabeled (it lies in no class's folder)"),
        ("SCC/e.jpg", "class scc is none of ours; SCC=akiec counts it as akiec"),
        ("nevus/c.jpg", "unknown class 'nevus'"),
    ]
    assert classes_of(ClassFolders(tmp_path, scc="akiec")) == {"SCC/e.jpg": "akiec"}


def test_the_first_folder_that_is_a_class_counts(tmp_path: Path) -> None:
    write(tmp_path, "set/train/mel/nv/a.jpg", "set/test/AK/b.jpg", "set/wart/c.jpg", "d.jpg")
    folders = ClassFolders(tmp_path)
    assert classes_of(folders) == {"test/AK/b.jpg": "akiec", "train/mel/nv/a.jpg": "mel"}
    assert reasons(folders) == [
        ("d.jpg", "unlabeled (it lies in no class's folder)"),
        ("set/wart/c.jpg", "unknown class 'wart'"),
    ]


def test_what_was_unpacked_beside_its_zip_file_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, "all/mel/a.jpg")
    zip_of(tmp_path / "all.zip", {"mel/a.jpg": picture("old"), "mel/b.jpg": picture("b")})
    folders = ClassFolders(tmp_path)
    assert folders.index.images == ("mel/a.jpg", "mel/b.jpg")
    assert folders.where("mel/a.jpg") == str(tmp_path / "all" / "mel" / "a.jpg")


def test_other_tables_name_lesions_and_persons(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg", "nv/b.jpg")
    (tmp_path / "persons.csv").write_text("image;lesion_id;age;sex;site\na.jpg;L1;50;Male;back\n")
    folders = ClassFolders(tmp_path)
    assert folders.lesions_known
    assert folders.index.lesions == ("L1", "nv/b.jpg")
    assert folders.index.sex == ("male", "")


def test_a_pool_names_its_images_without_suffix(tmp_path: Path) -> None:
    write(tmp_path, "nv/nv_000001.png", "nv/nv_000000.png", "mel/mel_000000.png", "mel/x.png.part")
    (tmp_path / "begun.json").touch()
    pool = ClassFolders(tmp_path, suffix_in_names=False)
    assert pool.index.images == pool.index.lesions == ("mel/mel_000000", "nv/nv_000000", "nv/nv_000001")
    assert pool.read("nv/nv_000001").endswith(b"nv/nv_000001.png")
    assert not pool.may_repeat, "an untrained generator may draw one picture again and again"


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mel").mkdir()
    (tmp_path / "mel" / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no images in subfolders named akiec, bcc"):
            ClassFolders(folder)


@pytest.mark.parametrize(
    ("rows", "lesions"),
    [
        ("mel/1.jpg,LA\nNV\\1,LB\nbcc/1.jpg,LC\nbcc/3.jpg,LC\n", ("LA", "LB", "L3")),
        ("elsewhere/3.jpg,LD\n", ("mel/1.jpg", "nv/1.jpg", "LD")),
        ("mel/x/1.jpg,LA\n", ("LA", "nv/1.jpg", "L3")),
        ("Mel/x/y/1,LA\n", ("LA", "nv/1.jpg", "L3")),
    ],
)
def test_rows_go_by_folder_where_names_repeat(tmp_path: Path, rows: str, lesions: tuple[str, ...]) -> None:
    write(tmp_path, "mel/1.jpg", "nv/1.jpg", "nv/3.jpg")
    (tmp_path / "persons.csv").write_text(f"file,lesion\n{rows}3,L3\n")
    assert ClassFolders(tmp_path).index.lesions == lesions


def test_a_row_of_the_same_class_need_not_name_all_folders(tmp_path: Path) -> None:
    write(tmp_path, "mel/p1/a.jpg", "AKIEC/b.jpg", "nv/c.jpg", "mel/d.jpg", "mel/d.png")
    rows = "mel/a.jpg,L1\nAK/b.jpg,L2\nnv/p2/c.jpg,L3\nmel/d.jpg,L4\nmel/d.png,L5\n"
    (tmp_path / "persons.csv").write_text(f"file,lesion\n{rows}")
    lesions = {row.image: row.lesion for row in ClassFolders(tmp_path).index.rows()}
    expected = {"mel/p1/a.jpg": "L1", "AKIEC/b.jpg": "L2", "nv/c.jpg": "L3", "mel/d.jpg": "L4", "mel/d.png": "L5"}
    assert lesions == expected


def test_a_table_in_a_class_s_folder_describes_its_images(tmp_path: Path) -> None:
    write(tmp_path, "mel/1.jpg", "nv/1.jpg")
    for name in ("mel", "nv"):
        (tmp_path / name / "t.csv").write_text(f"file,lesion\n1.jpg,L_{name}\n")
    assert ClassFolders(tmp_path).index.lesions == ("L_mel", "L_nv")


def test_many_images_of_one_name_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 300
    write(tmp_path, *(f"nv/L{number}/image.jpg" for number in range(count)))
    (tmp_path / "t.csv").write_text("file,lesion\n" + "".join(f"L{n}/image.jpg,L{n}\n" for n in range(count)))
    compared, likeness = [], persons._likeness

    def counted(one: PurePosixPath, other: PurePosixPath) -> tuple[int, bool]:
        compared.append(other)
        return likeness(one, other)

    monkeypatch.setattr(persons, "_likeness", counted)
    assert set(ClassFolders(tmp_path).index.lesions) == {f"L{number}" for number in range(count)}
    assert len(compared) == count


@pytest.mark.parametrize("name", ["1", "1.jpg", "photos/1.jpg"])
def test_a_row_that_may_be_of_several_images_is_an_error(tmp_path: Path, name: str) -> None:
    write(tmp_path, "mel/1.jpg", "nv/1.jpg")
    (tmp_path / "persons.csv").write_text(f"file,lesion\n{name},LA\n")
    with pytest.raises(DataError) as caught:
        ClassFolders(tmp_path)
    several = f"image {name} may be any of mel/1.jpg, nv/1.jpg; name its folder, too"
    assert str(caught.value) == f"{tmp_path}/persons.csv, line 2: {several}"


def test_lesions_of_other_images_are_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, "mel/1.jpg", "nv/2.jpg")
    (tmp_path / "persons.csv").write_text("file,lesion,site\nother,L1,arm\n1,-,Back\n")
    folders = ClassFolders(tmp_path)
    assert not folders.lesions_known
    assert folders.index.lesions == ("mel/1.jpg", "nv/2.jpg")
    assert folders.index.site == ("back", "")


def test_zipped_images_of_another_folder_are_images(tmp_path: Path) -> None:
    write(tmp_path, "train/mel/1.jpg", "train/mel/2.jpg")
    same = (tmp_path / "train" / "mel" / "2.jpg").read_bytes()
    zip_of(tmp_path / "more.zip", {"mel/1.jpg": picture("another"), "mel/2.jpg": same})
    folders = ClassFolders(tmp_path)
    assert folders.index.images == ("more/mel/1.jpg", "train/mel/1.jpg", "train/mel/2.jpg")
    zip_of(tmp_path / "train.zip", {"mel/1.jpg": picture("old")})
    zip_of(tmp_path / "all.zip", {"train/mel/1.jpg": picture("old")})
    assert ClassFolders(tmp_path).index.images == folders.index.images, (
        "unpacked in a folder of its name, or where it lies"
    )
