"""Disks that are full: an error that says which file, nothing half-written, and the next run goes on from there."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.faults.checkout import STUDY, Harmed
from tests.faults.conftest import Reliability
from tests.faults.small_disk import SmallDisks

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

PROMISED = "an error that names the file, no half file, and with room the same bytes as ever"

GENERATOR = """\
kind = "generator"
about = "As small as can be"
width = 8
steps = 330
pool = 30000
"""

FILLED = """\
about = "Filled up from the smallest generator"
generator = "quick"
fill_up = [[500, 1]]
epochs = 5
"""


class Case(NamedTuple):
    """A disk, and the message and files that are left when it is full."""

    what: str
    place: str
    size: str
    output: str
    left: tuple[str, ...] = ()
    """Files that may be there, as the ends of their paths; of a result none is half there."""


RUN = ("about.json", "recipe.json", "training.json", "metrics.csv", "hparams.yaml", ".0")

TRAINING = (
    Case("cache", "data/cache", "1m", "the decoded images need 5 MiB; 1 MiB are free"),
    Case("first checkpoint", f"runs/{STUDY}/baseline", "1m", "last.ckpt: No space left on device", RUN),
    Case("second checkpoint", f"runs/{STUDY}/baseline", "2m", "last.ckpt: No space left", (*RUN, "last.ckpt")),
)
PACKING = (
    Case("archive", f"model_store/{STUDY}", "300k", "baseline.mar: No space left on device"),
    Case("temporary files of packing", "tmp", "300k", "model.onnx: No space left on device"),
)


@pytest.fixture
def disks(copy: Harmed) -> Iterator[SmallDisks]:
    mounted = SmallDisks(copy)
    yield mounted
    mounted.close()


def fails(checkout: Harmed, entries: str, output: str) -> None:
    """`make zoo` must fail, and say what in a line."""
    failed = checkout.make("zoo", ENTRIES=entries)
    assert failed.returncode == 2
    assert "Traceback" not in failed.stdout + failed.stderr
    errors = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert any(output in line for line in errors), f"no word of {output!r}, but: {'; '.join(errors) or failed.stderr}"


@pytest.mark.parametrize("case", TRAINING + PACKING, ids=lambda case: case.what.replace(" ", "_"))
def test_a_small_disk(case: Case, copy: Harmed, built: Harmed, disks: SmallDisks, reliability: Reliability) -> None:
    row = reliability.row(f"disk full: {case.what}", PROMISED)
    place = copy.folder / case.place
    if case in TRAINING:
        copy.wipe()
    else:
        (copy.archives / "baseline.mar").unlink()
    disks.mount(place, case.size)
    row.tried = 1
    fails(copy, "baseline", case.output)
    assert [file for file in disks.files(place) if not file.endswith(case.left)] == []
    assert copy.halves() == []
    disks.grow(place)
    copy.made("zoo", ENTRIES="baseline")
    for file, digest in built.digests().items():
        if "baseline" in file:
            assert disks.digest(copy.folder / file) == digest
    row.seen = f"“{case.output}”; nothing half-written; then the same bytes"


@pytest.fixture
def generating(copy: Harmed) -> Harmed:
    """The checkout with the smallest generator, which is trained in seconds, and a classifier that needs it."""
    (copy.folder / "zoo" / "entries" / "quick.toml").write_text(GENERATOR)
    (copy.folder / "zoo" / "entries" / "filled.toml").write_text(FILLED)
    return copy


def test_a_disk_too_small_for_a_generator(generating: Harmed, disks: SmallDisks, reliability: Reliability) -> None:
    row = reliability.row("disk full: checkpoint of a generator", "an error that names the file, and no half file")
    run = generating.runs / "quick"
    disks.mount(run, "500k")
    row.tried = 1
    fails(generating, "quick", "last.ckpt: No space left on device")
    assert [file for file in disks.files(run) if "last" in file or "weights" in file] == []
    disks.grow(run)
    generating.made("zoo", ENTRIES="quick")
    row.seen = "“last.ckpt: No space left on device”; with room it was trained"


def test_a_disk_too_small_for_a_pool(generating: Harmed, disks: SmallDisks, reliability: Reliability) -> None:
    row = reliability.row("disk full: pool of synthetic images", "an error that names the file; the next run goes on")
    pool = generating.runs / "quick" / "pool"
    disks.mount(pool, "1m")
    row.tried = 1
    fails(generating, "filled", ".png: No space left on device")
    left = disks.files(pool)
    assert [file for file in left if not file.endswith(".png")] == ["begun.json"]
    before = {file: disks.digest(pool / file) for file in left[1::50]}
    disks.grow(pool)
    output = generating.made("zoo", ENTRIES="filled")
    assert "quick: best at" not in output, "it was trained again"
    assert {file: disks.digest(pool / file) for file in before} == before
    assert "manifest.json" in disks.files(pool)
    assert (generating.archives / "filled.mar").is_file()
    row.seen = f"{len(left) - 1} images were there and whole; the next run drew the rest and trained on them"
