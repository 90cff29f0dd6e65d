"""IMAGE: files, folders and patterns, with blanks and apostrophes in their names."""

from pathlib import Path

import pytest

from compare.pictures import named, shown
from lesions.errors import UserError

FILES = ("a.jpg", "b.jpg", "my mole.jpg", "it's.jpg", "odd[1].jpg", "photos/c.JPG", "photos/d.png", "photos/notes.txt",
         "photos/.hidden.png", "old photos/e.webp", "home/f.jpg")  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a.jpg"], ["a.jpg"]),
        (["a.jpg b.jpg"], ["a.jpg", "b.jpg"]),
        (["a.jpg", "b.jpg", "./a.jpg", "a.jpg"], ["a.jpg", "b.jpg"]),
        (["my mole.jpg"], ["my mole.jpg"]),
        (["a.jpg my mole.jpg  it's.jpg "], ["a.jpg", "my mole.jpg", "it's.jpg"]),
        (["it's.jpg"], ["it's.jpg"]),
        (["odd[1].jpg"], ["odd[1].jpg"]),
        (["photos"], ["photos/c.JPG", "photos/d.png"]),
        (["old photos/ a.jpg"], ["old photos/e.webp", "a.jpg"]),
        (["photos/*.png"], ["photos/d.png"]),
        (["old photos/*.webp b.jpg"], ["old photos/e.webp", "b.jpg"]),
        (["?.jpg"], ["a.jpg", "b.jpg"]),
        (["~/f.jpg ~/*.jpg a.jpg"], ["home/f.jpg", "a.jpg"]),
        (["none.jpg"], ["none.jpg"]),
        (["my other.jpg"], ["my other.jpg"]),
        (["a.jpg none.jpg"], ["a.jpg", "none.jpg"]),
        (["none/*.jpg"], ["none/*.jpg"]),
    ],
)
def test_what_is_named(tmp_path: Path, texts: list[str], expected: list[str]) -> None:
    assert [str(path).removeprefix(f"{tmp_path}/") for path in named(texts)] == expected


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^empty/: no picture in this folder \(\.jpg, "):
        named(["empty"])


def test_any_name_can_be_shown() -> None:
    assert shown(Path("a\udcff.jpg")) == "a\ufffd.jpg"
