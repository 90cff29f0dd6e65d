"""Source images that are replaced or deleted after the cache was made: noticed, and reversed when they are back."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from lesions import store
from tests.faults.checkout import Harmed
from tests.faults.conftest import Reliability
from zoo.study import Folders

pytestmark = [pytest.mark.thorough, pytest.mark.slow]


def test_an_image_replaced_then_deleted(empty: Harmed, built: Harmed, tmp_path: Path, reliability: Reliability) -> None:
    replaced = reliability.row("a source image replaced after the cache was made", "decoded and trained anew")
    empty.data = Path(shutil.copytree(empty.data, tmp_path / "tiny"))
    empty.made("zoo", ENTRIES="baseline")
    first = empty.digests()
    assert first.items() <= built.digests().items()
    file = sorted(empty.data.glob("*/*.jpg"))[0]
    content, before = file.read_bytes(), _cache(empty)
    Image.new("RGB", (60, 45), "teal").save(file)
    empty.made("zoo", ENTRIES="baseline")
    replaced.tried = 1
    assert _cache(empty) != before
    second = empty.digests()
    assert all(second[name] != first[name] for name in first)
    replaced.seen = "another cache, other weights, another archive"

    deleted = reliability.row("a source image deleted", "an error that names it; what was built stays")
    file.unlink()
    failed = empty.make("zoo", ENTRIES="baseline")
    deleted.tried = 1
    assert failed.returncode == 2
    assert f"names 1 image not in {empty.data}: {file.stem}" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert empty.digests() == second
    file.write_bytes(content)
    empty.made("zoo", ENTRIES="baseline")
    assert _cache(empty) == before
    assert empty.digests() == first
    deleted.seen = "“names 1 image not in ...”; put back as it was at first, it gave the first bytes again"


def _cache(checkout: Harmed) -> str:
    folders = Folders(checkout.runs.name, checkout.folder)
    return store.digest(folders.store(folders.read()))
