"""Real make beside another: what is at work on a study keeps it, and nothing is removed under it."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lesions.files import is_locked
from tests.make.checkout import ROOT, Checkout, make
from zoo.study import settle


@pytest.fixture
def busy(checkout: Checkout) -> Iterator[Callable[[], None]]:
    """While another process builds the study "mine"; called, it ends that."""
    (checkout.folder / "runs").mkdir()
    claim = "from lesions.files import lock_range; lock_range(9, 'mine', ''); input()"
    with python_with_lock(checkout, "-c", claim) as holder:
        assert holder.stdin is not None
        while not locked(checkout.folder / "runs" / ".lock"):
            assert holder.poll() is None
            time.sleep(0.05)

        def end() -> None:
            holder.communicate("\n", timeout=60)

        yield end
        holder.kill()


def python_with_lock(checkout: Checkout, *arguments: str) -> subprocess.Popen[str]:
    """Python with the file that make locks open as 9, as the recipe of `make zoo` has it."""
    return subprocess.Popen(
        ["sh", "-c", 'exec 9>>runs/.lock; exec .venv/bin/python "$@"', "sh", *arguments],
        cwd=checkout.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def locked(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("ab") as opened:
        return is_locked(opened.fileno())


def test_two_that_make_one_study_of_other_settings_do_not_mix(checkout: Checkout, busy: Callable[[], None]) -> None:
    settings = ("STUDY=mine", "SEED=2", f"DATA={checkout.data}")
    with python_with_lock(checkout, "-m", "zoo", "resolve", *settings, "--claim", "9") as late:
        assert late.stderr is not None
        assert "another `make zoo` is at work on mine" in late.stderr.readline()
        folders, study = settle({"data": str(checkout.data), "seed": "1"}, "mine", checkout.folder)
        folders.runs.mkdir()
        (folders.runs / "study.json").write_text(study.model_dump_json())
        busy()
        assert "the study 'mine' was made with SEED=1; name another one" in late.communicate(timeout=60)[1]
        assert late.returncode == 2
    assert folders.read() == study


def test_clean_removes_what_was_built_and_not_what_people_answered(
    checkout: Checkout, busy: Callable[[], None]
) -> None:
    kept = [f"runs/mine/{name}" for name in ("events.sqlite", "events.key", "experiments/lite.toml")]
    kept += ["model_store/mine/champion.json", "data/ham10000/a.jpg"]
    built = ["runs/mine/study.json", "runs/mine/baseline/weights.safetensors", "model_store/mine/baseline.mar"]
    built += ["runs/other/study.json", "model_store/other/baseline.mar", "reports/mine/comparison.html"]
    built += ["data/cache/mine-64/images.npy", "data/phantom/a.jpg"]
    (checkout.folder / "scratch").mkdir()
    (checkout.folder / "model_store").symlink_to("scratch")  # as on a cluster
    for name in (*kept, *built):
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / name).touch()
    refused = make("clean", folder=checkout.folder)
    assert refused.returncode == 2
    assert "error: a `make zoo` is at work here: wait for its end, or stop it" in refused.stderr
    assert all((checkout.folder / name).exists() for name in (*kept, *built))
    busy()
    assert make("clean", folder=checkout.folder).returncode == 0
    left = {
        str(file.relative_to(checkout.folder))
        for name in ("runs", "model_store", "data", "reports")
        for file in (checkout.folder / name).rglob("*")
        if file.is_file()
    }
    assert left == {*kept, "runs/.lock"}
    assert not (checkout.folder / "runs" / "other").exists()
    (checkout.folder / "runs" / "mine" / "events.key").write_text("0" * 64)  # an empty one is damaged
    shutil.rmtree(checkout.folder / "runs" / "mine" / "experiments")  # most studies have none
    forgotten = make("forget", "STUDY=mine", "CLIENT=tablet-3", "KEY=phone", folder=checkout.folder)
    assert "deleted: 0 answers and 0 feedback of tablet-3" in forgotten.stdout, forgotten.stderr
    assert make("clean", folder=checkout.folder).returncode == 0


def test_clean_without_the_environment_that_stops_what_is_served(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "Makefile", tmp_path)
    (tmp_path / "data" / "cache").mkdir(parents=True)
    assert make("clean", folder=tmp_path).returncode == 0
    assert not (tmp_path / "data" / "cache").exists()
    (tmp_path / "runs" / "mine" / "serve").mkdir(parents=True)
    refused = make("clean", folder=tmp_path)
    assert refused.returncode == 2
    assert "error: .venv, which stops what is served, is missing: make .venv/installed, or rm -r" in refused.stderr
    assert (tmp_path / "runs" / "mine" / "serve").exists()
