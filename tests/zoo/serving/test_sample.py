"""The picture of the call that `make serve` prints: of the study's data, or none where these are not to be had."""

import shutil
from pathlib import Path

import pytest

from lesions.sources import open_source
from zoo.serving.sample import sample
from zoo.study import Folders, settle


@pytest.fixture
def folders(tiny: Path, tmp_path: Path) -> Folders:
    data = shutil.copytree(tiny, tmp_path / "ham10000")
    folders, study = settle({"data": str(data), "scale": "demo"}, "mine", tmp_path)
    folders.runs.mkdir(parents=True)
    (folders.runs / "study.json").write_text(study.model_dump_json())
    return folders


def test_it_is_the_first_picture_of_the_data(folders: Folders) -> None:
    file = sample(folders)
    assert file == folders.serve / "sample.jpg"
    data = open_source(folders.root / "ham10000")
    assert file.read_bytes() == data.read(data.index.images[0])


@pytest.mark.parametrize("lost", ["ham10000", "ham10000/HAM10000_metadata.csv", "runs/mine/study.json"])
def test_there_is_none_where_the_data_are_gone(folders: Folders, lost: str) -> None:
    gone = folders.root / lost
    gone.rename(gone.with_name("elsewhere"))
    assert sample(folders) is None
    assert not folders.serve.exists()
