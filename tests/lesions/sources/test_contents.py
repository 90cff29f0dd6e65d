"""One picture in the folders of two classes is an error; in one class, or in a table, it is none."""

from pathlib import Path

import pytest

from lesions.index import DataError
from lesions.sources import open_source
from lesions.sources.contents import Contents
from tests.lesions.sources.layouts import dx_table, write


def test_one_picture_in_two_classes(tmp_path: Path) -> None:
    write(tmp_path, "mel/a.jpg", "nv/b.jpg")
    source = open_source(tmp_path)
    contents = Contents(source)
    contents.check("mel/a.jpg", b"a")
    contents.check("mel/a.jpg", b"a")
    contents.check("nv/b.jpg", b"b")
    with pytest.raises(DataError) as caught:
        contents.check("nv/b.jpg", b"a")
    both = f"{tmp_path}/mel/a.jpg and {tmp_path}/nv/b.jpg"
    assert str(caught.value) == f"{both} are the same picture, in two classes; delete the wrong one"


def test_a_table_says_what_each_image_is(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "truth.csv").write_text(dx_table({"a": "mel", "b": "nv"}))
    contents = Contents(open_source(tmp_path))
    contents.check("a", b"a")
    contents.check("b", b"a")
