"""What `make describe` says of the persons, where anything is known of them."""

from math import nan
from pathlib import Path

import pytest
from PIL import Image

from lesions.describe import describe, persons
from lesions.index import Index, Row


def test_persons_are_described_as_far_as_they_are_known() -> None:
    rows = [
        Row("a", 4, "L1", 30.0, "male", "back"),
        Row("b", 5, "L2", 50.0, "", "back"),
        Row("c", 5, "L3", nan, "male"),
    ]
    assert persons(Index.of(rows)) == [
        "age in years (least, quartiles, most): 30, 35, 40, 45, 50; unknown 1",
        "sex: male 2, unknown 1",
        "site: back 2, unknown 1",
    ]
    assert persons(Index.of([("a", 4, "L1")])) == []


def test_a_class_without_images_has_no_sheet(tmp_path: Path) -> None:
    for name in ("mel", "nv"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), "tan" if name == "nv" else "black").save(tmp_path / "mine" / name / "a.png")
    describe(tmp_path / "mine", tmp_path / "pictures")
    sheets = {file.name for file in (tmp_path / "pictures").rglob("*.png")}
    assert sheets == {"classes.png", "mel.png", "nv.png"}


def test_the_command_prints_them(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(tiny, tmp_path)
    printed = capsys.readouterr().out
    assert "age in years (least, quartiles, most): 50, 50, 50, 50, 50; unknown 0" in printed
    assert "sex: male 350" in printed
    assert "site: back 350" in printed
