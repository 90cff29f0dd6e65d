"""The real HAM10000, if there is a copy: `make test HAM10000=folder`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lesions import split
from lesions.images import center_square, decode
from lesions.sources import open_source
from lesions.sources.image_files import ImageFiles

FOLDER = os.environ.get("HAM10000", "")

pytestmark = [pytest.mark.real, pytest.mark.skipif(not FOLDER, reason="set HAM10000=folder")]


@pytest.fixture(scope="module")
def data() -> ImageFiles:
    return open_source(Path(FOLDER).expanduser())


def test_it_is_whole(data: ImageFiles) -> None:
    assert np.bincount(data.index.labels).tolist() == [327, 514, 1099, 115, 1113, 6705, 142]
    assert len(set(data.index.lesions)) == 7470


def test_the_thesis_split(data: ImageFiles) -> None:
    parts = split.split(data.index, "thesis")
    counts = [np.bincount(data.index.labels[parts == part]).tolist() for part in range(3)]
    assert counts == [
        [233, 353, 767, 79, 758, 4711, 110],
        [49, 81, 157, 18, 179, 998, 20],
        [45, 80, 175, 18, 176, 996, 12],
    ]
    training = {lesion for lesion, part in zip(data.index.lesions, parts, strict=True) if part == 0}
    leaking = sum(part == 2 and lesion in training for lesion, part in zip(data.index.lesions, parts, strict=True))
    assert leaking == 545, "test images whose lesion is also in training"


def test_the_thesis_split_without_siblings(data: ImageFiles) -> None:
    parts, without = (split.split(data.index, name) for name in ("thesis", "thesis_without_siblings"))
    assert ((parts == without) | ((parts == 0) & (without == split.LEFT_OUT))).all()
    left_out = {lesion for lesion, part in zip(data.index.lesions, without, strict=True) if part == split.LEFT_OUT}
    has_siblings = [lesion in left_out for lesion, part in zip(data.index.lesions, without, strict=True) if part == 2]
    assert sum(has_siblings) == 545, "the test images that leak are those whose siblings are left out"
    training = {lesion for lesion, part in zip(data.index.lesions, without, strict=True) if part == 0}
    assert not any(part == 2 and lesion in training for lesion, part in zip(data.index.lesions, without, strict=True))
    assert np.bincount(without).tolist() == [6369, 1502, 1502, 642]


def test_the_lesion_split(data: ImageFiles, tmp_path: Path) -> None:
    parts = split.split(data.index, "lesion")
    parts_by_lesion: dict[str, set[int]] = {}
    for lesion, part in zip(data.index.lesions, parts.tolist(), strict=True):
        parts_by_lesion.setdefault(lesion, set()).add(part)
    assert all(len(parts_of_lesion) == 1 for parts_of_lesion in parts_by_lesion.values())
    counts = np.array([np.bincount(data.index.labels[parts == part], minlength=7) for part in range(3)])
    assert np.abs(counts / counts.sum(0) - np.array(split.SHARES)[:, None]).max() < 0.01
    record = Path(__file__).parents[2] / "docs" / "results" / "ham10000-small" / "transfer.json"
    recorded = json.loads(record.read_text())["recipe"]["split_sha256"]
    assert split.write(tmp_path / "split.csv", data.index, parts) == recorded


def test_the_five_folds_are_those_of_the_records(data: ImageFiles, tmp_path: Path) -> None:
    """Another version of scikit-learn must not move an image."""
    for number in range(1, split.FOLDS + 1):
        parts = split.split(data.index, f"fold{number}")  # type: ignore[arg-type]
        counts = np.array([np.bincount(data.index.labels[parts == part], minlength=7) for part in range(3)])
        assert np.abs(counts[2] / counts.sum(0) - 0.2).max() < 0.01
        [record] = Path(__file__).parents[2].glob(f"docs/results/ham10000-small-fold{number}/transfer.json")
        recorded = json.loads(record.read_text())["recipe"]["split_sha256"]
        assert split.write(tmp_path / "split.csv", data.index, parts) == recorded


def test_images_are_read(data: ImageFiles) -> None:
    for image in data.index.images[::1000]:
        picture = decode(data.read(image))
        assert picture.width * 3 == picture.height * 4
        assert center_square(picture, 64).shape == (64, 64, 3)
