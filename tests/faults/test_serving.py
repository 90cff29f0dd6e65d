"""Workers, servers and `make serve` itself killed; versions that cannot load. What can be served is served again."""

import concurrent.futures
import json
import os
import random
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from compare.client import Zoo
from gateway import process as gateway
from tests.faults.checkout import Harmed, kill, wait_for
from tests.faults.conftest import Reliability
from tests.faults.serving import Counting, Served, is_gone, processes_of
from tests.servers import pack, state
from zoo.serving.http import NoServerError

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]

TIMES = 3

PATIENT = {"seconds": 5, "tries": 60}
"""A client that gives up on an answer sooner than usual (30 s), and on all of them later."""


with_workers = pytest.mark.parametrize("served", ["torchserve"], indirect=True)
"""For tests of a process that its server starts again."""


def killed(served: Served, version: str) -> int:
    """Kill the worker of a version; returns when it is dead."""
    worker = served.worker(version)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: is_gone(worker), "the worker's death")
    return worker


@with_workers
def test_a_worker_killed_while_idle(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "worker killed (-9) while idle",
        "TorchServe never answers the request after it: the client asks again after its timeout and gets the right "
        "answer; other versions answer meanwhile",
    )
    took = []
    with served.zoo(**PATIENT) as zoo, concurrent.futures.ThreadPoolExecutor(1) as pool:
        for number in range(TIMES):
            served.ask(zoo, number, "baseline")
            old, began = killed(served, "baseline"), time.monotonic()
            asked = pool.submit(served.ask, zoo, number, "baseline")
            served.ask(zoo, number, "weighted_loss")
            asked.result()
            took.append(time.monotonic() - began)
            assert served.worker("baseline") not in (None, old)
            row.tried += 1
    row.seen = f"the right answer after {min(took):.0f} to {max(took):.0f} s, with a client that waits 5 s (usually 30)"


@with_workers
def test_a_worker_killed_while_busy(served: Served, reliability: Reliability) -> None:
    row = reliability.row("worker killed (-9) while busy", "no wrong answer; the client asks again until it is right")
    enough = threading.Event()
    counts, network = [0] * 8, Counting()

    def ask(zoo: Zoo, number: int) -> None:
        while not enough.is_set():
            served.ask(zoo, number + counts[number], "baseline")
            counts[number] += 1

    def wait_for_answers(each: int) -> None:
        """Wait until everybody has got as many more, or somebody has given up."""
        wanted = [count + each for count in counts]
        wait_for(lambda: all(map(int.__ge__, counts, wanted)) or over(), "answers to everybody")

    def over() -> bool:
        return any(one.done() for one in asking)

    with (
        served.zoo(**PATIENT, transport=network) as zoo,
        concurrent.futures.ThreadPoolExecutor(len(counts)) as pool,
    ):
        asking = [pool.submit(ask, zoo, number) for number in range(len(counts))]
        try:
            for _ in range(TIMES):
                wait_for_answers(5)
                killed(served, "baseline")
                row.tried += 1
            wait_for_answers(5)
        finally:
            enough.set()
        for one in asking:
            one.result()
    failures = sum(count for status, count in network.statuses.items() if status != 200)
    row.seen = f"{sum(counts)} answers to {len(counts)} clients, all right; {failures} times an error on the way"


def are_gone(pids: list[int]) -> bool:
    return all(is_gone(pid) for pid in pids)


def test_the_server_killed(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "server killed (-9) and started again",
        "the client says that there is none; its workers go, too; then every version is back, and the champion answers "
        "where none is named",
    )
    for champion in ("baseline", "weighted_loss"):  # one of them would not be the default by chance
        served.checkout.made("promote", ENTRY=champion, FORCE="1")
        processes = [process.pid for process in served.processes()]
        assert len(processes) >= (3 if served.runtime == "torchserve" else 1)
        with served.zoo(seconds=5) as zoo:
            served.server.kill()
            wait_for(partial(are_gone, processes), "the end of its workers")
            with pytest.raises(NoServerError, match="start it: make serve"):
                served.ask(zoo, 0, "baseline")
        served.start()
        with served.zoo() as zoo:
            assert zoo.versions() == ["baseline", "weighted_loss"]
            assert zoo.default() == champion
            for number, version in enumerate(zoo.versions()):
                served.ask(zoo, number, version)
        row.tried += 1
    row.seen = "no process was left; both versions and the champion were back"


def test_stopped_and_started_again(served: Served, reliability: Reliability) -> None:
    row = reliability.row("`make stop`, then `make serve`", "versions and champion survive")
    with served.zoo() as zoo:
        champion = next(version for version in zoo.versions() if version != zoo.default())
    served.checkout.made("promote", ENTRY=champion, FORCE="1")
    processes = [process.pid for process in served.processes()]
    served.stop()
    row.tried = 1
    assert are_gone(processes)
    assert not served.key_file.exists(), "tokens of a server that is gone"
    served.start()
    with served.zoo() as zoo:
        assert (zoo.versions(), zoo.default()) == (["baseline", "weighted_loss"], champion)
    row.seen = "they did; meanwhile no process was left"


def launcher_runs(served: Served) -> bool:
    return (served.folder / "logs" / "console.log").exists()


def server_runs(served: Served) -> bool:
    return state(served.folder) is not None


@pytest.mark.parametrize("begun", [launcher_runs, server_runs])
def test_make_serve_killed(begun: Callable[[Served], bool], served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        f"`make serve` killed (-9) when the {begun.__name__.replace('_', ' ')}", "called again, it serves every version"
    )
    served.stop()
    process = served.checkout.begin("serve", log=None, **served.settings)
    wait_for(lambda: begun(served), begun.__name__)
    time.sleep(random.Random(begun.__name__).uniform(0, 1))  # the moment itself is random
    kill(process)
    row.tried = 1
    served.start()
    with served.zoo() as zoo:
        for number, version in enumerate(zoo.versions()):
            served.ask(zoo, number, version)
    ours = {one.pid for one in processes_of(served.folder)}
    gateways = gateway.processes_of(served.folder)
    assert len(gateways) == (served.runtime == "torchserve")
    assert ours <= {one.pid for one in (*served.processes(), *gateways)}, "an orphan is left"
    row.seen = "it did, and of the killed one nothing was left"


def test_two_at_once(served: Served, reliability: Reliability) -> None:
    row = reliability.row("two `make serve` at once", "one starts the server, the other finds it running")
    served.stop()
    logs = [served.checkout.folder / f"serve_{number}.log" for number in range(2)]
    processes = [served.checkout.begin("serve", **served.settings, log=log) for log in logs]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    row.tried = 1
    assert sum("already running on port" in log.read_text() for log in logs) == 1
    with served.zoo() as zoo:
        served.ask(zoo, 0, "baseline")
    row.seen = "so it was"


@pytest.fixture
def broken(served: Served) -> Iterator[Harmed]:
    """The served checkout, with a version whose entry is of another network than its model."""
    checkout = served.checkout
    with zipfile.ZipFile(checkout.archives / "baseline.mar") as archive:
        entry = json.loads(archive.read("entry.json"))
    model, file = checkout.runs / "baseline" / "model.onnx", checkout.archives / "broken.mar"
    pack(entry | {"entry": "broken", "pixels": 48}, model, file)
    yield checkout
    file.unlink()
    served.stop()
    served.start()


def test_a_version_that_cannot_load(broken: Harmed, served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "a version that cannot load among good ones", "it is named with the reason, exit code 2; the others are served"
    )
    done = broken.make("serve", **served.settings)
    row.tried = 1
    assert done.returncode == 2
    assert "1 of 3 versions cannot be served" in done.stderr
    assert "broken: " in done.stderr
    assert "the model of another network" in done.stderr
    with served.zoo() as zoo:
        for number, version in enumerate(("baseline", "weighted_loss")):
            served.ask(zoo, number, version)
    assert state(served.folder) is not None
    row.seen = "“broken: ... the model of another network ...”; the other two answered"
