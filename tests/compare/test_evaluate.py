"""Every version is asked about every image once, whatever happens meanwhile."""

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from filelock import FileLock

from compare import answers
from compare.client import ZooError
from compare.evaluate import IN_FLIGHT, check_split, collect, served
from compare.labeled import held_out_images

if TYPE_CHECKING:
    from tests.compare.conftest import Standing


def run(standing: "Standing", folder: Path, archives: dict[str, str] | None = None, patience: float = 5) -> None:
    with standing.zoo() as zoo:
        described = served(zoo)
        check_split(described, standing.labeled)
        collect(zoo, described, standing.labeled, folder, archives or {}, patience)


def all_asked_once(standing: "Standing") -> bool:
    wanted = {(name, image) for name in standing.described for image in standing.labeled.index.images}
    return set(standing.asked) == wanted and set(standing.asked.values()) == {1}


def unavailable() -> httpx.Response:
    return httpx.Response(503, json={"code": 503, "message": "no worker"})


def test_every_image_is_asked_once_of_every_version(standing: "Standing", tmp_path: Path) -> None:
    run(standing, tmp_path / "answers")
    assert all_asked_once(standing)
    assert 1 < standing.most_under_way <= IN_FLIGHT * (os.cpu_count() or 1)
    for name, told in standing.probabilities.items():
        found = answers.read(tmp_path / "answers" / f"{name}.jsonl")
        assert found is not None
        assert found.described == standing.described[name]
        assert {image: answer.probabilities for image, answer in found.by_image.items()} == {
            image: row.tolist() for image, row in told.items()
        }
        assert found.milliseconds(standing.labeled.index).min() > 0
    run(standing, tmp_path / "answers")
    assert all_asked_once(standing)  # nothing is asked again


def test_an_interrupted_run_goes_on(standing: "Standing", tmp_path: Path) -> None:
    count = iter(range(1000))

    def interrupt(entry: str, image: str) -> None:
        if next(count) == 40:
            raise KeyboardInterrupt

    standing.trouble = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(standing, tmp_path)
    kept = sum(standing.asked.values())
    assert 20 < kept < 2 * len(standing.labeled.index)
    with (tmp_path / "baseline.jsonl").open("ab") as file:
        file.write(b'{"image": "TINY_00')  # as a killed process leaves it
    run(standing, tmp_path)
    assert all_asked_once(standing)
    lines = (tmp_path / "baseline.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 1 + len(standing.labeled.index)


@pytest.mark.parametrize("what", ["weights", "archive", "images"])
def test_what_is_no_longer_the_same_is_asked_anew(standing: "Standing", tmp_path: Path, what: str) -> None:
    run(standing, tmp_path, {"baseline": "a", "transfer": "a"})
    standing.asked.clear()
    if what == "weights":
        standing.described["baseline"] |= {"weights_sha256": "others"}
    if what == "images":
        standing.folders.described.write_text(json.dumps({"store_sha256": "another"}))
        standing.labeled = held_out_images(standing.folders)
    run(standing, tmp_path, {"baseline": "b" if what == "archive" else "a", "transfer": "a"})
    asked = {entry for entry, _ in standing.asked}
    assert asked == ({"baseline", "transfer"} if what == "images" else {"baseline"})


def test_a_leak_is_refused_before_anything_is_asked(standing: "Standing", tmp_path: Path) -> None:
    standing.described["transfer"]["split_sha256"] = "another"
    with pytest.raises(ZooError, match=r"trained on another split than the one to be scored.*: transfer; make"):
        run(standing, tmp_path)
    assert not standing.asked


def test_nothing_served(standing: "Standing", tmp_path: Path) -> None:
    standing.described = {}
    with pytest.raises(ZooError, match="no classifier is served; make some and serve them: make zoo serve"):
        run(standing, tmp_path)


def test_what_stays_unanswered_is_named_and_the_rest_kept(standing: "Standing", tmp_path: Path) -> None:
    lost = standing.labeled.index.images[3]
    standing.trouble = lambda entry, image: unavailable() if (entry, image) == ("transfer", lost) else None
    with pytest.raises(ZooError, match=rf"1 answers are missing; (?s:.*)transfer: 1 \({lost}\): no worker"):
        run(standing, tmp_path, patience=0.3)
    assert sum(standing.asked.values()) == 2 * len(standing.labeled.index) - 1
    standing.trouble = lambda entry, image: None
    run(standing, tmp_path)
    assert all_asked_once(standing)


def test_a_refused_image_is_told_without_waiting(standing: "Standing", tmp_path: Path) -> None:
    bad = standing.labeled.index.images[0]
    refusal = {"code": 400, "message": "the image is damaged"}
    standing.trouble = lambda entry, image: httpx.Response(400, json=refusal) if image == bad else None
    with pytest.raises(ZooError, match=r"2 answers are missing(?s:.*)the image is damaged"):
        run(standing, tmp_path, patience=1000)


def test_a_server_that_goes_away_and_comes_back(standing: "Standing", tmp_path: Path) -> None:
    count, alone = iter(range(100_000)), threading.Lock()

    def gone(entry: str, image: str) -> Exception | None:
        with alone:
            return httpx.ConnectError("refused") if 30 <= next(count) < 34 else None

    standing.trouble = gone
    run(standing, tmp_path)
    assert all_asked_once(standing)


def test_a_version_that_comes_back_as_another_one_is_noticed(standing: "Standing", tmp_path: Path) -> None:
    count, alone = iter(range(100_000)), threading.Lock()

    def replaced(entry: str, image: str) -> Exception | None:
        with alone:
            if next(count) == 30:
                standing.described["transfer"] = standing.described["transfer"] | {"weights_sha256": "others"}
                return httpx.ConnectError("refused")
            return None

    standing.trouble = replaced
    with pytest.raises(ZooError, match="replaced while being asked: transfer; run `make compare` again"):
        run(standing, tmp_path)


def test_two_runs_do_not_get_in_each_others_way(standing: "Standing", tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(ZooError, match="another `make compare` of this study is at work"):
        run(standing, tmp_path)
    assert not standing.asked
