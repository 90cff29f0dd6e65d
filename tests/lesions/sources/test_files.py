"""The finder: links, hidden files, copies, and zip files that Python cannot unpack."""

import os
import zipfile
from pathlib import Path

import pytest

from lesions.index import DataError
from lesions.sources import open_source
from lesions.sources.files import find, stem
from tests.lesions.sources.layouts import LABELS, classes_of, dx_table, in_order, picture, reasons, write, zip_of


def names(root: Path) -> list[str]:
    return [str(file.path) for file in find(root).images]


def test_links_are_followed_once_and_broken_ones_skipped(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/b.jpg", "set/a.jpg")
    folder = tmp_path / "set"
    (folder / "loop").symlink_to(folder)
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    (folder / "c.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    assert names(folder) == ["a.jpg", "c.jpg", "images/b.jpg"]


def test_hidden_files_and_segmentations_are_no_images(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "._a.jpg", ".cache/b.jpg", "__MACOSX/c.jpg", "notes.txt", "d.webp")
    zip_of(tmp_path / "more.ZIP", {"a.PNG": "a", "__MACOSX/._a.jpg": "x", "part\\e.jpg": "e", "empty/": ""})
    zip_of(tmp_path / "HAM10000_segmentations_lesion.zip", {"f.png": picture("f")})
    assert names(tmp_path) == ["a.jpg", "d.webp", "more/a.PNG", "more/part/e.jpg"]
    assert str(find(tmp_path).images[-1]) == f"{tmp_path}/more.ZIP/part/e.jpg"
    assert find(tmp_path).images[-1].read() == b"e"


def test_one_of_several_images_of_a_name_is_taken(tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", {"X.jpg": picture("z")})
    assert str(find(tmp_path).image("X")) == f"{tmp_path}/a.zip/X.jpg"
    for name, taken in {
        "deep/er/X.png": "deep/er/X.png",  # unpacked rather than zipped
        "z/X.jpg": "z/X.jpg",  # less deep
        "b/X.jpg": "b/X.jpg",  # first by name
    }.items():
        write(tmp_path, name)
        assert str(find(tmp_path).image("X")) == str(tmp_path / taken)
    assert str(find(tmp_path).image("X.png")) == str(tmp_path / "deep/er/X.png"), "the suffix that the table names"
    assert str(find(tmp_path).image("./z/X.jpg")) == str(tmp_path / "z/X.jpg"), "the path that the table names"
    assert find(tmp_path).image("Y") is None


def test_a_dot_may_be_part_of_a_name() -> None:
    cases = {"X.1": "X.1", "X.1.JPG": "X.1", "a\\b/X.png": "X", ".jpg": ".jpg", "": ""}
    assert {name: stem(name) for name in cases} == cases


def odd_zip(file: Path, method: int = 0, flags: int = 0) -> None:
    """A zip file of `LABELS`, which says that its members are packed by `method`, with `flags`."""
    zip_of(file, {f"{image}.jpg": picture(image) for image in LABELS})
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset] |= flags
            content[start + offset + 2] = method
            start = content.find(signature, start + 1)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("method", "flags", "problem"),
    [
        (9, 0, "compressed with Deflate64, which Python cannot unpack"),
        (93, 0, "compressed with Zstandard, which Python cannot unpack"),
        (77, 0, "compressed with method 77, which Python cannot unpack"),
        (99, 1, "encrypted with a password"),
    ],
)
def test_what_python_cannot_unpack_is_named(tmp_path: Path, method: int, flags: int, problem: str) -> None:
    (tmp_path / "truth.csv").write_text(dx_table())
    odd_zip(tmp_path / "images.zip", method, flags)
    advice = "unpack it with unzip or 7z, and point DATA (or TEST) at the folder"
    with pytest.raises(DataError) as caught:
        open_source(tmp_path)
    assert str(caught.value) == f"{tmp_path}/images.zip: {problem}: {advice}"
    source = open_source(tmp_path, is_test=True)
    with pytest.raises(DataError, match=problem):
        source.read("X_3")
    write(tmp_path, *(f"{image}.jpg" for image in LABELS))
    assert list(classes_of(open_source(tmp_path)).items()) == in_order(LABELS), "unpacked beside it"
    (tmp_path / "truth.csv").unlink()
    zip_of(tmp_path / "table.zip", {"truth.csv": dx_table()})
    content = bytearray((tmp_path / "table.zip").read_bytes())
    content[content.find(b"PK\x01\x02") + 10] = 9
    (tmp_path / "table.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"table\.zip: compressed with Deflate64"):
        open_source(tmp_path)


def test_a_zip_in_a_zip_is_named(tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip", {"X_3.jpg": picture("X_3")}).read_bytes()
    outer = zip_of(tmp_path / "set" / "outer.zip", {"truth.csv": dx_table(), "inner.zip": inner})
    for path in (outer, outer.parent):
        with pytest.raises(DataError, match=r"names 5 images .*; .*outer\.zip/inner\.zip is a zip file in a zip file"):
            open_source(path)
        assert "inner.zip is a zip file in a zip file: unpack it" in reasons(open_source(path, is_test=True))[0][1]
    zip_of(outer, {"inner.zip": inner})
    with pytest.raises(DataError, match=r"no table of classes.*is a zip file in a zip file"):
        open_source(outer)


def test_a_zip_cut_short_is_an_error(tmp_path: Path) -> None:
    file = zip_of(tmp_path / "set" / "part.zip", {"a.jpg": picture("a") * 99}, zipfile.ZIP_DEFLATED)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match=r"part\.zip: not a whole zip file \(cut short\?\); download it again"):
        find(file.parent)
    assert find(tmp_path, depth=3, is_data_set=False).images == [], (
        "where a table's images may lie, other downloads may lie, too"
    )


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xe9.jpg")).write_bytes(b"content")
    (image,) = find(tmp_path).images
    assert str(image.path) == "\ufffd.jpg"
    assert image.read() == b"content"


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mel/a.jpg", "nv/b.jpg", "lost+found/c.jpg")
    scan = os.scandir

    def denied(path: str) -> object:
        if path.endswith("nv"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    assert str(caught.value) == f"{tmp_path}/nv: Permission denied"
    found = find(tmp_path, is_data_set=False)
    assert [str(file.path) for file in found.images] == ["mel/a.jpg"]
    assert found.hint == f"; passed over: {tmp_path}/nv: Permission denied"


def test_a_folder_that_can_only_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mel/a.jpg", "nv/b.jpg")
    status = Path.stat

    def denied(path: Path, **options: bool) -> os.stat_result:
        if path.parent.name == "nv":
            raise PermissionError(13, "Permission denied", str(path))
        return status(path, **options)

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(DataError, match=r"nv/b\.jpg: Permission denied"):
        find(tmp_path)


def test_a_mask_is_not_taken_for_the_image(tmp_path: Path) -> None:
    write(tmp_path, "images/X.jpg", "old/X.jpg")
    (tmp_path / "old" / "X.jpg").write_bytes((tmp_path / "images" / "X.jpg").read_bytes())
    assert str(find(tmp_path).image("X")) == f"{tmp_path}/images/X.jpg", "a copy"
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "X.png").write_bytes(b"a mask")
    message = "images/X.jpg and .*masks/X.png are two pictures of one name; move one folder elsewhere"
    with pytest.raises(DataError, match=message):
        find(tmp_path).image("X")
    assert str(find(tmp_path).image("images/X.jpg")) == f"{tmp_path}/images/X.jpg"
    (tmp_path / "truth.csv").write_text(dx_table({"X": "nv"}))
    with pytest.raises(DataError, match=message):
        open_source(tmp_path)
    (image,) = open_source(tmp_path, is_test=True).left_out
    assert image.reason.startswith("two pictures of one name (")


def test_a_broken_zip_matters_where_the_folder_is_the_data(tmp_path: Path) -> None:
    write(tmp_path, "X.jpg")
    (tmp_path / "other.zip").write_bytes(b"PK")
    table = tmp_path / "truth.csv"
    table.write_text(dx_table({"X": "nv"}))
    assert classes_of(open_source(table)) == {"X": "nv"}, "another download beside the table"
    with pytest.raises(DataError, match=r"^[^ ]*/other\.zip: not a whole zip file"):
        open_source(tmp_path)
    table.write_text(dx_table({"Y": "nv"}))
    for is_test in (False, True):  # its images may be the missing ones
        with pytest.raises(DataError, match=r"names 1 image not in .*: Y; passed over: .*other\.zip: not a whole zip"):
            open_source(table, is_test=is_test)


def test_a_link_beside_its_folder_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "nv/a.jpg")
    (tmp_path / "mel").symlink_to(tmp_path / "nv")
    assert names(tmp_path) == ["nv/a.jpg"]


def test_a_link_may_give_a_folder_the_name_of_a_class(tmp_path: Path) -> None:
    write(tmp_path, "a_vienna/a.jpg", "bcc/b.jpg")
    (tmp_path / "nv").symlink_to(tmp_path / "a_vienna")
    assert classes_of(open_source(tmp_path)) == {"bcc/b.jpg": "bcc", "nv/a.jpg": "nv"}
