"""Every version is asked about every image once, whatever happens meanwhile."""

import json
import os
import threading
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from compare import answers
from compare.collect import IN_FLIGHT, check_split, collect, describe_all
from compare.labeled import held_out_images
from tests.compare.study_server import StudyServer
from zoo.serving.http import ServerError


def run(study_server: StudyServer, folder: Path, archives: dict[str, str] | None = None, patience: float = 5) -> None:
    with study_server.zoo() as zoo:
        described = describe_all(zoo)
        check_split(described, study_server.labeled)
        collect(zoo, described, study_server.labeled, folder, archives or {}, patience)


def all_asked_once(study_server: StudyServer) -> bool:
    wanted = {(name, image) for name in study_server.described for image in study_server.labeled.index.images}
    return set(study_server.requests) == wanted and set(study_server.requests.values()) == {1}


def unavailable() -> httpx.Response:
    return httpx.Response(503, json={"code": 503, "message": "no worker"})


def test_every_image_is_asked_once_of_every_version(study_server: StudyServer, tmp_path: Path) -> None:
    run(study_server, tmp_path / "answers")
    assert all_asked_once(study_server)
    assert 1 < study_server.most_under_way <= IN_FLIGHT * (os.cpu_count() or 1)
    for name, probabilities in study_server.probabilities.items():
        kept = answers.read(tmp_path / "answers" / f"{name}.jsonl")
        assert kept is not None
        assert kept.described == study_server.described[name]
        assert {image: answer.probabilities for image, answer in kept.by_image.items()} == {
            image: row.tolist() for image, row in probabilities.items()
        }
        assert kept.milliseconds(study_server.labeled.index).min() > 0
    run(study_server, tmp_path / "answers")
    assert all_asked_once(study_server)  # nothing is asked again


def test_an_interrupted_run_goes_on(study_server: StudyServer, tmp_path: Path) -> None:
    count = iter(range(1000))

    def interrupt(entry: str, image: str) -> None:
        if next(count) == 40:
            raise KeyboardInterrupt

    study_server.trouble = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(study_server, tmp_path)
    kept = sum(study_server.requests.values())
    assert 20 < kept < 2 * len(study_server.labeled.index)
    with (tmp_path / "baseline.jsonl").open("ab") as file:
        file.write(b'{"image": "TINY_00')  # as a killed process leaves it
    run(study_server, tmp_path)
    assert all_asked_once(study_server)
    lines = (tmp_path / "baseline.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 1 + len(study_server.labeled.index)


@pytest.mark.parametrize("what", ["weights", "archive", "images"])
def test_what_is_no_longer_the_same_is_asked_anew(study_server: StudyServer, tmp_path: Path, what: str) -> None:
    run(study_server, tmp_path, {"baseline": "a", "transfer": "a"})
    study_server.requests.clear()
    if what == "weights":
        study_server.described["baseline"] |= {"weights_sha256": "others"}
    if what == "images":
        study_server.folders.data.write_text(json.dumps({"store_sha256": "another"}))
        study_server.labeled = held_out_images(study_server.folders)
    run(study_server, tmp_path, {"baseline": "b" if what == "archive" else "a", "transfer": "a"})
    asked = {entry for entry, _ in study_server.requests}
    assert asked == ({"baseline", "transfer"} if what == "images" else {"baseline"})


def test_a_leak_is_refused_before_anything_is_asked(study_server: StudyServer, tmp_path: Path) -> None:
    study_server.described["transfer"]["split_sha256"] = "another"
    with pytest.raises(ServerError, match=r"trained on another split than the one to be scored.*: transfer; make"):
        run(study_server, tmp_path)
    assert not study_server.requests


def test_nothing_served(study_server: StudyServer, tmp_path: Path) -> None:
    study_server.described = {}
    with pytest.raises(ServerError, match="no classifier is served; make some and serve them: make zoo serve"):
        run(study_server, tmp_path)


def test_what_stays_unanswered_is_named_and_the_rest_kept(study_server: StudyServer, tmp_path: Path) -> None:
    lost = study_server.labeled.index.images[3]
    study_server.trouble = lambda entry, image: unavailable() if (entry, image) == ("transfer", lost) else None
    with pytest.raises(ServerError, match=rf"1 answers are missing; (?s:.*)transfer: 1 \({lost}\): no worker"):
        run(study_server, tmp_path, patience=0.3)
    assert sum(study_server.requests.values()) == 2 * len(study_server.labeled.index) - 1
    study_server.trouble = lambda entry, image: None
    run(study_server, tmp_path)
    assert all_asked_once(study_server)


def test_a_refused_image_is_reported_without_waiting(study_server: StudyServer, tmp_path: Path) -> None:
    bad = study_server.labeled.index.images[0]
    refusal = {"code": 400, "message": "the image is damaged"}
    study_server.trouble = lambda entry, image: httpx.Response(400, json=refusal) if image == bad else None
    with pytest.raises(ServerError, match=r"2 answers are missing(?s:.*)the image is damaged"):
        run(study_server, tmp_path, patience=1000)


def test_a_server_that_goes_away_and_comes_back(study_server: StudyServer, tmp_path: Path) -> None:
    count, lock = iter(range(100_000)), threading.Lock()

    def gone(entry: str, image: str) -> Exception | None:
        with lock:
            return httpx.ConnectError("refused") if 30 <= next(count) < 34 else None

    study_server.trouble = gone
    run(study_server, tmp_path)
    assert all_asked_once(study_server)


def test_a_version_that_comes_back_as_another_one_is_noticed(study_server: StudyServer, tmp_path: Path) -> None:
    count, lock = iter(range(100_000)), threading.Lock()

    def replaced(entry: str, image: str) -> Exception | None:
        with lock:
            if next(count) == 30:
                study_server.described["transfer"] = study_server.described["transfer"] | {"weights_sha256": "others"}
                return httpx.ConnectError("refused")
            return None

    study_server.trouble = replaced
    with pytest.raises(ServerError, match="replaced while being asked: transfer; run `make compare` again"):
        run(study_server, tmp_path)


def test_two_runs_do_not_get_in_each_others_way(study_server: StudyServer, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(ServerError, match="another `make compare` of this study is at work"),
    ):
        run(study_server, tmp_path)
    assert not study_server.requests
