"""`make compare` against a real server that is disturbed meanwhile: no image is lost, and none is scored twice.

One server of each runtime for all: two tiny versions, each asked about the 49 images of the tiny study's test split.
"""

import csv
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
from typer.testing import CliRunner, Result

import compare.__main__ as command
from compare import evaluate as evaluation
from compare.client import Zoo
from compare.collect import collect
from tests.compare.line import STRIKES_AT, Line
from tests.compare.study_server import QUALITY, StudyServer
from tests.compare.test_real_server import make
from tests.servers import SERVED_BY, free_ports, processes, start, stop
from zoo.serving.connection import read_token
from zoo.serving.runtime import runtime_of
from zoo.study import Folders

pytestmark = pytest.mark.server
SECONDS = 5.0
"""The client waits so long for an answer; `make compare` waits a minute, for which a test has no time."""


class Served(NamedTuple):
    """A study whose server runs."""

    study_server: StudyServer
    folder: Path
    port: int
    runtime: str

    @property
    def process(self) -> psutil.Process:
        return processes(self.folder)[0]

    def again(self) -> None:
        """As `make serve` does."""
        start(self.study_server.folders.archives, self.folder, self.port, runtime=self.runtime)

    def renew(self) -> None:
        """Let the server forget the token that is in use."""
        keys = json.loads((self.folder / "key_file.json").read_text())
        url, headers = f"http://127.0.0.1:{self.port + 1}/token", {"Authorization": f"Bearer {keys['API']['key']}"}
        httpx.get(url, params={"type": "inference"}, headers=headers, trust_env=False).raise_for_status()


@pytest.fixture(scope="module", params=SERVED_BY)
def server(tmp_path_factory: pytest.TempPathFactory, tiny: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    study_server = StudyServer(tmp_path_factory.mktemp("interruptions"), tiny)
    for seed, name in enumerate(QUALITY):
        make(study_server, name, seed)
    folder = study_server.folders.runs / "serve"
    try:
        served = Served(study_server, folder, free_ports(), request.param)
        served.again()
        yield served
    finally:
        stop(folder)


@pytest.fixture
def served(server: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The server, and no answers yet."""
    monkeypatch.chdir(server.study_server.folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(server.study_server.folders.root))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("zoo.metrics.bootstrap.PAIRED_RESAMPLES", 50)
    shutil.rmtree(server.study_server.reports, ignore_errors=True)
    server.again()  # if a test before this one has left it otherwise
    return server


def evaluate(monkeypatch: pytest.MonkeyPatch, line: httpx.BaseTransport | None = None, *more: str) -> Result:
    """What `make compare` runs, its questions going along `line`."""

    def connect(study: str, port: int | None) -> Zoo:
        folder = Folders(study).serve
        return Zoo(runtime_of(folder).connect(folder, port), seconds=SECONDS, transport=line)

    monkeypatch.setattr(command, "connect", connect)
    return CliRunner().invoke(command.app, ["evaluate", *more, "--study", "tiny"])


def disturbed(monkeypatch: pytest.MonkeyPatch, disturb: Callable[[threading.Event], None]) -> tuple[Result, Line]:
    """`evaluate`, disturbed, and when the disturbance is over."""
    line = Line(disturb)
    done = evaluate(monkeypatch, line)
    line.over()
    return done, line


def written(served: Served) -> dict[str, list[str]]:
    """The images that each version's file of answers has, as often as it has them."""
    files = {name: served.study_server.reports / "answers" / f"{name}.jsonl" for name in QUALITY}
    return {
        name: [json.loads(row)["image"] for row in file.read_text().splitlines()[1:]] for name, file in files.items()
    }


def assert_scored_once(served: Served, done: Result) -> None:
    """Each version has answered each image once, and as in training: else the exit code were 1."""
    assert done.exit_code == 0, done.output
    images = served.study_server.labeled.index.images
    for name, answered in written(served).items():
        assert Counter(answered) == Counter(images), name
    actual = json.loads((served.study_server.reports / "results.json").read_text())
    assert actual["images"] == len(images)
    assert {result["entry"] for result in actual["results"]} == set(QUALITY)
    assert all(result["offline"]["largest"] < 1e-4 for result in actual["results"])


@pytest.mark.parametrize("server", ["torchserve"], indirect=True)  # the other's only process is started by nobody
def test_a_worker_is_killed_with_questions_in_its_hands(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = served.process.children(recursive=True)[0]

    def kill(struck: threading.Event) -> None:
        worker.suspend()
        time.sleep(0.5)  # it is given questions, and says nothing
        worker.kill()
        struck.set()

    done, line = disturbed(monkeypatch, kill)
    assert not worker.is_running()
    assert line.lost
    assert_scored_once(served, done)


def test_the_server_is_stopped_and_started_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before = served.process

    def restart(struck: threading.Event) -> None:
        stop(served.folder)
        struck.set()
        served.again()

    done, line = disturbed(monkeypatch, restart)
    assert served.process != before
    assert "ConnectError" in line.lost
    assert_scored_once(served, done)


def test_a_server_that_stays_away_is_named_and_what_is_missing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def halt(struck: threading.Event) -> None:
        stop(served.folder)
        struck.set()

    with monkeypatch.context() as impatient:
        impatient.setattr(evaluation, "collect", partial(collect, patience=2))
        done, _ = disturbed(impatient, halt)
    images, kept = served.study_server.labeled.index.images, written(served)
    missing = {name: sorted(set(images).difference(answered)) for name, answered in kept.items()}
    assert STRIKES_AT <= sum(len(answered) for answered in kept.values()) < len(QUALITY) * len(images)
    assert done.exit_code == 2
    assert f"error: {sum(len(lost) for lost in missing.values())} answers are missing; those that came" in done.output
    for name, lost in missing.items():
        assert f"  {name}: {len(lost)} ({', '.join(lost[:5])}" in done.output
    assert "start it: make serve" in done.output
    assert not (served.study_server.reports / "results.json").exists()
    served.again()
    assert_scored_once(served, evaluate(monkeypatch))
    assert {name: answered[: len(kept[name])] for name, answered in written(served).items()} == kept


@pytest.mark.parametrize("client_is_told", [True, False])
def test_the_token_is_no_longer_valid(served: Served, monkeypatch: pytest.MonkeyPatch, client_is_told: bool) -> None:
    """Replaced by somebody who leaves the new one in the key file; or expired, by the server's clock only."""
    file = served.folder / "key_file.json"
    old = file.read_text()

    def key() -> Any:
        return json.loads(file.read_text())["inference"]["key"]

    new: list[str] = []
    readable = threading.Event()
    readable.set()

    def read(*arguments: Any) -> Any:
        assert readable.wait(60)
        return read_token(*arguments)

    def replace(struck: threading.Event) -> None:
        readable.clear()  # nobody reads the new one before the old one is back
        served.renew()
        new.append(key())
        if not client_is_told:
            file.write_text(old)
        readable.set()
        struck.set()

    monkeypatch.setattr("zoo.serving.connection.read_token", read)

    done, line = disturbed(monkeypatch, replace)
    assert set(line.lost) == {"400"}
    assert (key() == new[0]) == client_is_told  # else the client has had one made
    assert key() != json.loads(old)["inference"]["key"]
    assert_scored_once(served, done)


def test_images_from_outside(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index, read = served.study_server.labeled.index, served.study_server.labeled.source.read
    classes = ["AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC"]
    good = dict(list(zip(index.images, index.labels.tolist(), strict=True))[::4])
    rows = {image: classes[label] for image, label in good.items()}
    rows |= {"UNLABELLED": "", "STRANGE": "SCC", "TORN": "MEL", "TEXT": "NV", "ABSENT": "BKL"}
    with (tmp_path / "truth.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", *classes, "SCC"])
        table.writerows(
            [image, *(float(name == message) for name in (*classes, "SCC"))] for image, message in rows.items()
        )
    content = read(index.images[0])
    for image in rows:
        (tmp_path / f"{image}.jpg").write_bytes(read(image) if image in good else content)
    (tmp_path / "TORN.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "TEXT.jpg").write_bytes(b"hello")
    (tmp_path / "ABSENT.jpg").unlink()
    messages = {
        "UNLABELLED": "unlabeled: 1 image",
        "STRANGE": "class scc is none of ours; SCC=akiec counts it as akiec: 1 image",
        "ABSENT": "no such image beside truth.csv: 1 image",
        "TORN": "the image is damaged or cut short (",
        "TEXT": "not an image of a supported format (",
    }

    done = evaluate(monkeypatch, None, "--test", str(tmp_path / "truth.csv"), "--strict")
    assert done.exit_code == 2
    assert f"error: {tmp_path}/truth.csv: 5 images cannot be used:" in done.output
    assert all(f"\n  {message}" in done.output for message in messages.values())
    assert not served.study_server.reports.exists()

    done = evaluate(monkeypatch, None, "--test", str(tmp_path / "truth.csv"))
    assert done.exit_code == 0, done.output
    assert "left out: 5 images\n" in done.output
    assert all(f"\n  {message}" in done.output for message in messages.values())
    (folder,) = served.study_server.reports.glob("outside-truth-*")
    actual = json.loads((folder / "results.json").read_text())
    assert actual["images"] == len(good)
    assert [image["image"] for image in actual["left_out"]] == list(messages)
    for result in actual["results"]:
        with (served.study_server.folders.run(result["entry"]) / "predictions.csv").open() as lines:
            offline = {row["image"]: [float(row[name.lower()]) for name in classes] for row in csv.DictReader(lines)}
        right = [image for image, label in good.items() if offline[image].index(max(offline[image])) == label]
        assert result["scores"]["accuracy"] == pytest.approx(len(right) / len(good))
        answered = [
            json.loads(row) for row in (folder / "answers" / f"{result['entry']}.jsonl").read_text().splitlines()
        ]
        assert {row["image"]: row["probabilities"] for row in answered[1:]} == {
            image: pytest.approx(offline[image], abs=1e-4) for image in good
        }
