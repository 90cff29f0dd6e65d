"""DATA is recognized by its table; a further data set is a class and an item of `DATA_SETS`."""

import shutil
from pathlib import Path

import pytest

from lesions import sources, store
from lesions.index import Index
from lesions.sources import open_source
from lesions.sources.folders import ImageFiles, find_images
from lesions.sources.ham10000 import Ham10000


class OneLesion(ImageFiles):
    """A data set whose images are all of one class and one lesion."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.files |= {file.stem: file for file in find_images(path, "images/*")}
        self.index = Index.of((image, 4, "lesion") for image in self.files)


def test_ham10000_is_the_default(tiny: Path) -> None:
    assert isinstance(open_source(tiny), Ham10000)


def test_a_further_data_set(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.DATA_SETS, "one_lesion.csv", OneLesion)
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "one_lesion.csv").touch()
    for file in sorted(tiny.glob("*/*.jpg"))[:3]:
        shutil.copy(file, tmp_path / "data" / "images")
    store.prepare(tmp_path / "data", tmp_path / "cache", 16)
    before = store.load(tmp_path / "cache")
    assert before.index.lesions == ("lesion",) * 3
    next((tmp_path / "data" / "images").glob("*.jpg")).unlink()
    store.prepare(tmp_path / "data", tmp_path / "cache", 16)
    assert len(store.load(tmp_path / "cache").images) == 2, "a deleted image is noticed"
