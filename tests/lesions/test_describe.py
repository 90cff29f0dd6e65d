"""What `make describe` prints and draws."""

from collections import Counter
from math import nan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesions import split, store
from lesions.__main__ import describe as describe_command
from lesions.describe import PIXELS, describe, persons
from lesions.index import DataError, Index, Row
from lesions.labels import CLASSES
from lesions.sources import open_source


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


def test_classes_channels_and_lesions(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(tiny, tmp_path)
    printed = capsys.readouterr().out
    data = open_source(tiny)
    lesions = dict(zip(data.index.images, data.index.lesions, strict=True))
    mel = [row.image for row in data.index.rows() if CLASSES[row.label] == "mel"]
    parts = np.bincount(split.by_lesion(data.index)[data.index.labels == CLASSES.index("mel")], minlength=3)
    cells = [
        "mel",
        "melanoma",
        len(mel),
        f"{len(mel) / len(lesions):.1%}",
        len({lesions[image] for image in mel}),
        *parts,
    ]
    [row] = [line for line in printed.splitlines() if "melanoma" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [str(cell) for cell in cells]
    store.prepare(tiny, tmp_path / "cache", PIXELS)
    mean, _ = store.channel_statistics(store.load(tmp_path / "cache").images)
    assert f"mean of red, green, blue: {', '.join(f'{value:.4f}' for value in mean)}\n" in printed
    images = Counter(Counter(lesions.values()).values())
    assert f"images per lesion: {', '.join(f'{n} x {times}' for n, times in sorted(images.items()))}\n" in printed


def test_what_is_markup_elsewhere_is_text_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "x$_$y"
    folder.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (16, 16), "tan" if name == "a" else "black").save(folder / f"{name}.png")
    (folder / "t.csv").write_text("image,dx,site\na,nv,arm [/back]\nb,mel,arm [left]\n")
    describe(folder, tmp_path / "pictures")
    assert "site: arm [left] 1, arm [/back] 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("~nobody_of_this_name/x", "DATA=~nobody_of_this_name/x: Could not"),
        ("", "DATA=: names nothing; it is a folder"),
        ("nowhere", "nowhere: no such file or folder; DATA is "),
    ],
)
def test_no_data(data: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_ZOO_ROOT", str(tmp_path))
    with pytest.raises(DataError) as caught:
        describe_command(data)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())
