"""The decoded cache: right pixels, made again when the data change, never incomplete."""

import io
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lesions import store
from lesions.index import DataError
from lesions.sources import open_source

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "ham10000"))


def files_in(folder: Path) -> list[str]:
    """The files in `folder`, without the lock."""
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


def test_pixels_and_labels_belong_together(tiny: Path, tmp_path: Path) -> None:
    store.prepare(tiny, tmp_path / "cache", 32)
    loaded = store.load(tmp_path / "cache")
    data = open_source(tiny)
    assert loaded.index.images == data.index.images
    assert loaded.images.shape == (len(data.index), 32, 32, 3)
    assert not loaded.images.flags.writeable
    for row in (0, 123, 349):
        with Image.open(io.BytesIO(data.read(data.index.images[row]))) as image:  # 60 x 45: the center is 45 x 45
            expected = image.crop((7, 0, 52, 45)).resize((32, 32), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(expected).astype(int) - loaded.images[row]).max() == 0


def test_it_is_made_once(copy: Path, tmp_path: Path) -> None:
    store.prepare(copy, tmp_path / "cache", 16)
    before = (tmp_path / "cache" / "images.npy").stat().st_mtime_ns
    store.prepare(copy, tmp_path / "cache", 16)
    assert (tmp_path / "cache" / "images.npy").stat().st_mtime_ns == before


def test_other_pixels_or_another_way_to_decode_make_it_anew(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for pixels, code in ((16, store.CODE), (16, store.CODE), (8, store.CODE), (8, "of another version")):
        monkeypatch.setattr(store, "CODE", code)
        store.prepare(copy, tmp_path / "cache", pixels)
        assert store.load(tmp_path / "cache").images.shape[1:] == (pixels, pixels, 3)
        made.append((tmp_path / "cache" / "images.npy").stat().st_mtime_ns)
    assert made[0] == made[1] < made[2] < made[3]


def test_two_at_once_decode_once(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, begun = [], threading.Barrier(2, timeout=20)
    original = store.decode_all

    def decode_all(*arguments: Any) -> None:
        decoded.append(threading.get_ident())
        original(*arguments)

    def prepare() -> None:
        begun.wait()
        store.prepare(copy, tmp_path / "cache", 16)

    monkeypatch.setattr(store, "decode_all", decode_all)
    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 1


def test_a_replaced_image_is_noticed(copy: Path, tmp_path: Path) -> None:
    store.prepare(copy, tmp_path / "cache", 16)
    before = store.digest(tmp_path / "cache")
    Image.new("RGB", (60, 45)).save(next(copy.glob("*/*.jpg")))
    store.prepare(copy, tmp_path / "cache", 16)
    assert store.digest(tmp_path / "cache") != before


def test_a_deleted_image_is_noticed_and_the_old_cache_is_kept(copy: Path, tmp_path: Path) -> None:
    store.prepare(copy, tmp_path / "cache", 16)
    next(copy.glob("*/*.jpg")).unlink()
    with pytest.raises(DataError, match="names 1 image not in"):
        store.prepare(copy, tmp_path / "cache", 16)
    assert store.load(tmp_path / "cache").images.shape[0] == 350


def test_an_image_that_cannot_be_decoded_is_named_and_nothing_is_left(copy: Path, tmp_path: Path) -> None:
    bad = sorted(copy.glob("*/*.jpg"))[100]
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(DataError, match=bad.name):
        store.prepare(copy, tmp_path / "cache", 16)
    assert files_in(tmp_path) == ["ham10000"]


def test_too_little_disk_is_an_error_before_anything_is_written(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6, 10**5))
    with pytest.raises(DataError, match="the decoded images need 1 MiB; 0 MiB are free"):
        store.prepare(copy, tmp_path / "cache", 16)
    assert files_in(tmp_path) == ["ham10000"]


def test_what_a_killed_run_leaves_is_no_cache(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "cache.part").mkdir()
    (tmp_path / "cache.part" / "images.npy").write_bytes(b"half")
    store.prepare(copy, tmp_path / "cache", 16)
    assert files_in(tmp_path) == ["cache", "ham10000"]


@pytest.mark.parametrize("name", ["store.json", "index.csv", "images.npy"])
@pytest.mark.parametrize("kept", [None, 0, 40, -1])
def test_a_damaged_cache_is_an_error_and_made_again(name: str, kept: int | None, copy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store.prepare(copy, cache, 16)
    before = {file.name: file.read_bytes() for file in cache.iterdir()}
    content = before[name][:kept]
    (cache / name).unlink()
    if kept is not None:
        (cache / name).write_bytes(content)
    with pytest.raises(DataError, match=r"the decoded images cannot be read .*; run `make zoo` again"):
        store.load(cache)
    store.prepare(copy, cache, 16)
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == before


def test_what_is_known_of_persons_is_kept(copy: Path, tmp_path: Path) -> None:
    table = copy / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace("50,male,back", ",unknown,Back", 1))
    store.prepare(copy, tmp_path / "cache", 16)
    index = store.load(tmp_path / "cache").index
    assert np.isnan(index.age[0])
    assert set(index.age[1:].tolist()) == {50}
    assert (index.sex[:2], index.site[:2]) == (("", "male"), ("back", "back"))
    before = store.digest(tmp_path / "cache")
    lines = (tmp_path / "cache" / "index.csv").read_text().splitlines()
    earlier = "".join(f"{','.join(line.split(',')[:3])}\n" for line in lines)
    (tmp_path / "cache" / "index.csv").write_text(earlier)
    assert store.load(tmp_path / "cache").index.images == index.images, "an earlier version kept three columns"
    table.write_text(table.read_text().replace("50,male,back", "60,male,back", 1))
    store.prepare(copy, tmp_path / "cache", 16)
    assert store.load(tmp_path / "cache").index.age[1] == 60, "another table is noticed"
    assert store.digest(tmp_path / "cache") == before, "recipes hang on images, classes and lesions"


def test_what_is_left_out_and_unknown_lesions_are_told(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.prepare(copy, tmp_path / "cache", 16)
    assert "left out" not in capsys.readouterr().err
    table = copy / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace("lesion_id", "other").replace(",df,", ",SCC,"))
    store.prepare(copy, tmp_path / "cache", 16)
    images = "50 images (TINY_30000, TINY_30001, TINY_30010, ...)"
    output = capsys.readouterr().err
    assert (
        f"{copy}: 50 images left out:\n  class scc is none of ours; SCC=akiec counts it as akiec: {images}\n" in output
    )
    assert f"warning: {copy} names no lesions; each image counts as a lesion of its own" in output
    assert len(store.load(tmp_path / "cache").index) == 300
    store.prepare(copy, tmp_path / "cache", 16, "akiec")
    assert np.bincount(store.load(tmp_path / "cache").index.labels)[0] == 100


def test_one_picture_in_two_classes(tmp_path: Path) -> None:
    for name in ("mel", "NV"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "mine" / name / "a.png")
    with pytest.raises(DataError, match=r"NV/a\.png and .*mel/a\.png are the same picture, in two classes"):
        store.prepare(tmp_path / "mine", tmp_path / "cache", 16)


def test_channel_statistics_are_numpys() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 8, 8, 3), dtype=np.uint8)
    mean, std = store.channel_statistics(images)
    assert mean == pytest.approx((images / 255).mean((0, 1, 2)), abs=1e-6)
    assert std == pytest.approx((images / 255).std((0, 1, 2)), abs=1e-6)


def test_a_lesion_of_several_classes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    table = ["image,dx,lesion_id"]
    for k in range(8):
        Image.new("RGB", (16, 16), (k, k, k)).save(tmp_path / "mine" / f"{k}.png")
        table.append(f"{k},{'nv' if k % 2 else 'mel'},{k // 2}")
    (tmp_path / "mine" / "t.csv").write_text("\n".join(table) + "\n")
    store.prepare(tmp_path / "mine", tmp_path / "cache", 16)
    [warning] = capsys.readouterr().err.splitlines()
    names = "0: mel and nv, 1: mel and nv, 2: mel and nv, ..."
    assert f"4 lesions with images of several classes ({names}); is the column of lesions right?" in warning
