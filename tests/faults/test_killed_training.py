"""`make zoo` killed with all its processes at ten moments: called again, it ends in an uninterrupted run's bytes."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.checkout import Harmed, kill, wait_for
from tests.faults.conftest import Reliability

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

SEED = 5
"""Of the moments."""


def writing_the_cache(checkout: Harmed) -> bool:
    return any((checkout.folder / "data" / "cache").glob("*.part"))


def between_epochs(checkout: Harmed) -> bool:
    return "epoch  1/" in (checkout.folder / "make.log").read_text()


def writing_a_checkpoint(checkout: Harmed) -> bool:
    return (checkout.runs / "baseline" / "last.ckpt.part").exists()


def packing(checkout: Harmed) -> bool:
    return any(checkout.temporary.glob("lesion-zoo-*"))


def writing_the_archive(checkout: Harmed) -> bool:
    return any(checkout.archives.glob(".*.partial"))


def starting(checkout: Harmed) -> bool:
    return True


MOMENTS: dict[str, tuple[Callable[[Harmed], bool], float, int]] = {
    "while writing the cache": (writing_the_cache, 0.05, 2),
    "while training or scoring": (between_epochs, 1.0, 2),
    "while writing a checkpoint": (writing_a_checkpoint, 0.0, 2),
    "while packing an archive": (packing, 1.0, 1),
    "while writing an archive": (writing_the_archive, 0.0, 1),
    "at any moment": (starting, 8.0, 2),
}
"""What is waited for, how many seconds later at most the kill comes, and how often that is tried."""


def kill_in_time(checkout: Harmed, moment: str, wanted: dict[str, str], chance: random.Random) -> None:
    """Kill a `make zoo` at the moment, or somewhat later; once more, and sooner, if everything is built by then."""
    begun, longest, _ = MOMENTS[moment]

    def is_time(process: subprocess.Popen[str]) -> bool:
        return begun(checkout) or process.poll() is not None

    while True:
        checkout.wipe()
        process = checkout.begin("zoo", ENTRIES="baseline")
        wait_for(partial(is_time, process), moment)
        time.sleep(chance.uniform(0, longest))  # the moment itself is random
        kill(process)
        if process.returncode == -signal.SIGKILL and checkout.digests() != wanted:
            return
        longest /= 2


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_called_again(moment: str, empty: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row(f"`make zoo` killed (-9) {moment}", "called again, it ends in the same bytes (sha256)")
    wanted = {file: digest for file, digest in built.digests().items() if "baseline" in file}
    assert len(wanted) == 2
    chance, halves, times = random.Random(f"{SEED} {moment}"), 0, MOMENTS[moment][2]
    for _ in range(times):
        kill_in_time(empty, moment, wanted, chance)
        halves += bool(empty.halves())
        empty.made("zoo", ENTRIES="baseline")
        row.tried += 1
        assert empty.digests() == wanted
        assert empty.halves() == []
    row.seen = f"the same bytes every time; {halves} of {times} left a half file, which was made anew"


def test_only_make_killed(empty: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row(
        "make itself killed (-9), its training not", "the next `make zoo` waits for what is still at work"
    )
    process = empty.begin("zoo", ENTRIES="baseline", log=empty.folder / "first.log")
    wait_for(lambda: "epoch  1/" in (empty.folder / "first.log").read_text(), "an epoch")
    process.kill()
    process.wait()
    output = empty.made("zoo", ENTRIES="baseline")
    row.tried = 1
    assert "another `make zoo` is at work on tiny-demo-test_efficientnet-w: waiting for its end" in output
    assert "baseline: epoch" not in output, "the orphan trained, not we"
    assert empty.digests().items() <= built.digests().items()
    row.seen = "it waited, trained nothing twice, and found the same bytes"


def test_two_at_once(empty: Harmed, built: Harmed, reliability: Reliability) -> None:
    row = reliability.row(
        "two `make zoo` at once, of different entries", "the second waits and says so; both are built"
    )
    logs: list[Path] = [empty.folder / f"{name}.log" for name in ("one", "other")]
    processes = [
        empty.begin("zoo", ENTRIES=name, log=log) for name, log in zip(("baseline", "weighted_loss"), logs, strict=True)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    row.tried = 1
    output = [log.read_text() for log in logs]
    assert sum("waiting for its end" in text for text in output) == 1
    assert empty.digests() == built.digests()
    row.seen = "one waited for the other; the archives are those of one `make zoo`"
