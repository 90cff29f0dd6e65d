"""Class folders: images are found by suffix, labeled by folder, and named by path; others are named and left out."""

from pathlib import Path

import pytest

from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.sources.folders import ClassFolders, images_by_stem


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_images_are_labeled_by_their_folders(tmp_path: Path) -> None:
    write(tmp_path, "nv/deeper/b.JPG", "mel/a.jpg", "mel/a.png", "vasc/notes.txt", "manifest.json")
    folders = ClassFolders(tmp_path)
    assert folders.index.images == folders.index.lesions == ("mel/a.jpg", "mel/a.png", "nv/deeper/b.JPG")
    assert [CLASSES[label] for label in folders.index.labels] == ["mel", "mel", "nv"]
    assert folders.left_out == []
    assert folders.read("mel/a.png") == b"mel/a.png"
    assert folders.where("mel/a.png") == str(tmp_path / "mel" / "a.png")
    (tmp_path / "mel" / "a.png").unlink()
    with pytest.raises(DataError, match=r"mel/a\.png: No such file"):
        folders.read("mel/a.png")


def test_images_elsewhere_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "d.jpg", "nevus/c.jpg")
    folders = ClassFolders(tmp_path)
    assert len(folders.index) == 0
    assert folders.left_out == ["d.jpg: unlabeled (it lies in no class's folder)", "nevus/c.jpg: unknown class 'nevus'"]


def test_a_pool_names_its_images_without_suffix(tmp_path: Path) -> None:
    write(tmp_path, "nv/nv_000001.png", "nv/nv_000000.png", "mel/mel_000000.png", "begun.json", "mel/x.png.part")
    pool = ClassFolders(tmp_path, suffix_in_names=False)
    assert pool.index.images == pool.index.lesions == ("mel/mel_000000", "nv/nv_000000", "nv/nv_000001")
    assert pool.read("nv/nv_000001") == b"nv/nv_000001.png"


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "mel/notes.txt")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no images in subfolders named akiec, bcc"):
            ClassFolders(folder)


def test_images_by_stem(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.PNG", "part/a.jpg", "part/c.txt", "part/deeper/d.jpg")
    assert images_by_stem(tmp_path) == {"a": tmp_path / "part" / "a.jpg", "b": tmp_path / "b.PNG"}
    assert images_by_stem(tmp_path, (".png",)) == {"b": tmp_path / "b.PNG"}
