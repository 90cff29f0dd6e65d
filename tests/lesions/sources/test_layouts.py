"""Each layout that people have reads to the same index: as data and as a test set, zipped or not, at any depth."""

import itertools
from pathlib import Path

import pytest

from lesions.sources import open_source
from tests.lesions.sources.layouts import (
    LABELS,
    classes_of,
    dx_table,
    in_order,
    one_hot_table,
    picture,
    write,
    zip_of,
    zipped,
)

FORMS = ["dx", "dx without lesions", "one-hot"]
DEPTHS = ["", "images/", "a/b c/"]
SUFFIXES = [".jpg", ".JPG", ".Jpeg", ".png"]
DELIMITERS = [",", ";", "\t", "|"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
IDS = ["{}", "{}{suffix}", "some/where/{}{suffix}", "some\\where\\{}"]
ZIPPED = ["no", "all", "images"]
ORDINARY = ("dx", "", ".jpg", ",", "utf-8", "{}", "no", str)
AXES = (FORMS, DEPTHS, SUFFIXES, DELIMITERS, ENCODINGS, IDS, ZIPPED, [str, str.upper, str.title])
# Each value of each axis with each value of each other one.
PAIRS = sorted(
    {
        tuple(value if k == i else other if k == j else plain for k, plain in enumerate(ORDINARY))
        for i, j in itertools.combinations(range(len(AXES)), 2)
        for value, other in itertools.product(AXES[i], AXES[j])
    },
    key=repr,
)


@pytest.mark.parametrize("layout", PAIRS, ids=[str(k) for k in range(len(PAIRS))])
def test_each_layout_reads_to_the_same_index(tmp_path: Path, layout: tuple) -> None:  # type: ignore[type-arg]
    form, depth, suffix, delimiter, encoding, id_form, packed, case = layout
    folder = tmp_path / "set"
    write(folder, *(f"{depth}{image}{suffix}" for image in LABELS))
    rows = {id_form.format(image, suffix=suffix): case(dx) if form != "one-hot" else dx for image, dx in LABELS.items()}
    text = one_hot_table(rows) if form == "one-hot" else dx_table(rows, lesions=form == "dx")
    header, body = text.split("\n", 1)
    table = f"{case(header)}\n{body.replace('L_', 'Lésion ')}".replace(",", delimiter).replace("\n", "\r\n")
    (folder / "truth.csv").write_bytes(table.encode(encoding))
    if packed == "images":
        zip_of(
            folder / "images.zip",
            {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("X_*")},
        )
        for file in folder.rglob("X_*"):
            file.unlink()
    place = zipped(folder) if packed == "all" else folder
    for is_test, path in itertools.product((False, True), [place] if packed == "all" else [place, place / "truth.csv"]):
        source = open_source(path, is_test=is_test)
        assert list(classes_of(source).items()) == in_order(LABELS)
        assert source.left_out == []
        assert source.lesions_known == (form == "dx")
        assert len(set(source.index.lesions)) == (4 if form == "dx" else 5)
        for image in LABELS:
            assert source.read(image).startswith(picture(image))
        assert source.fingerprint() == open_source(path, is_test=is_test).fingerprint()


CLASS_FOLDERS = itertools.product(
    ["{dx}/{image}", "{DX}/{image}", "{Dx}/deeper/{image}", "set/train/{dx}/{image}"], SUFFIXES, ["no", "all", "each"]
)


@pytest.mark.parametrize(("form", "suffix", "packed"), CLASS_FOLDERS)
def test_each_form_of_class_folders(tmp_path: Path, form: str, suffix: str, packed: str) -> None:
    folder = tmp_path / "set"
    for image, dx in LABELS.items():
        write(folder, form.format(image=image, dx=dx, DX=dx.upper(), Dx=dx.title()) + suffix)
    write(folder, ".hidden.jpg", "__MACOSX/mel/._a.jpg")
    if packed == "each":
        for part in [part for part in folder.iterdir() if not part.name.startswith((".", "_"))]:
            zipped(part)
    place = zipped(folder) if packed == "all" else folder
    for is_test in (False, True):
        source = open_source(place, is_test=is_test)
        assert [(Path(image).stem, dx) for image, dx in classes_of(source).items()] == in_order(LABELS)
        assert {image.count("/") for image in source.index.images} == {2 if "deeper" in form else 1}
        assert source.left_out == []
        assert not source.lesions_known
        assert source.may_repeat
