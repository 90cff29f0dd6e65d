"""Live experiments under faults: answers go on, events from before are whole, and what is lost is counted."""

import itertools
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import func, select, text

from benchmarks.light_client import LightClient
from gateway import process
from gateway.events.database import connect, database_url
from gateway.events.tables import ANSWERS, LOSSES
from gateway.experiments import files
from gateway.log import FILE
from gateway.start import stop
from tests.faults.checkout import Harmed, wait_for
from tests.faults.conftest import Reliability
from tests.faults.garbage import noise
from tests.faults.serving import is_gone
from tests.faults.small_disk import SmallDisks
from tests.gateway.moody import white_picture
from tests.gateway.servers import Served, serving
from tests.images import file_of
from tests.postgresql import serving as postgresql_serving
from tests.servers import SERVED_BY, free_ports, state

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]

PICTURE = file_of(noise())
CLIENTS = 20_000
KILLS = 5
OUTAGE = float(os.environ.get("OUTAGE", "8"))
"""Seconds for which PostgreSQL is gone."""
LATER = 1.0
"""Seconds after an answer from which on its event outlives a kill."""
OTHERS = {"transfer": None, "lite1": None}


class Crowd:
    """Clients that ask, and note what they get and when."""

    def __init__(self, served: Served, threads: int = 3) -> None:
        self.served, self._http = served, LightClient()
        self.answers: list[tuple[str, float]] = []
        """The ids of answers, and when each came."""
        self.statuses: Counter[object] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(threads)]

    def ask(self, client: str, picture: bytes = PICTURE, path: str = "/v1/classify") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.served.key}", "X-Client-Id": client}
        return self._http.post(self.served.url + path, content=picture, headers=headers)

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _ask_on(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            try:
                answer = self.ask(f"client{number}-{turn % 50}")
            except httpx.TransportError:
                self.statuses["no connection"] += 1
                time.sleep(0.05)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.answers.append((answer.json()["id"], time.time()))


def begin(served: Served, name: str, arms: dict[str, float], **fields: Any) -> None:
    experiment = files.create(name=name, started=time.time(), arms=arms, **fields)
    files.start(served.settings.runs / files.FOLDER, experiment)


def end(served: Served, name: str) -> None:
    files.change(served.settings.runs / files.FOLDER, name, lambda one: files.update(one, ended=time.time()))


def written(address: str) -> set[str]:
    """The ids of all answers that are written."""
    engine = connect(address)
    with engine.connect() as connection:
        ids = set(connection.scalars(select(ANSWERS.c.id)))
    engine.dispose()
    return ids


def lost(address: str) -> int:
    engine = connect(address)
    with engine.connect() as connection:
        number = connection.scalar(select(func.sum(LOSSES.c.rows))) or 0
    engine.dispose()
    return int(number)


def metric(served: Served, name: str) -> float:
    with served.http() as http:
        return float(
            next(line.split()[1] for line in http.get("/metrics").text.splitlines() if line.startswith(f"{name} "))
        )


def gateway_process(served: Served) -> psutil.Process:
    # A process of its own, or the server's.
    running = process.read_state(served.settings.folder) or state(served.settings.folder)
    assert running is not None
    return psutil.Process(running["pid"])


def kill(one: psutil.Process) -> None:
    one.kill()
    wait_for(lambda: is_gone(one.pid), "the end of the gateway", 10)  # its ports are free then


@pytest.mark.parametrize("runtime", ["local"])
def test_20000_clients(tmp_path: Path, runtime: str, reliability: Reliability) -> None:
    row = reliability.row(
        f"{CLIENTS:,} clients, each asking twice, of an experiment with two arms, then with three; the server is "
        "started again in between",
        "each arm has its share of the clients within 1 %; each client gets the same arm both times",
    )
    with serving(tmp_path, runtime, others=OTHERS) as served, ThreadPoolExecutor(4) as pool:
        (served.settings.runs / "events.key").write_text("0" * 64)  # so that the hashes are the same each time
        seen = []

        def everybody() -> list[str]:
            crowd = Crowd(served, 0)
            with crowd:
                answers = pool.map(lambda number: crowd.ask(f"client-{number}"), range(CLIENTS))
                return [str(answer.raise_for_status().json()["entry"]) for answer in answers]

        for name, arms in (
            ("two", {"baseline": 0.9, "transfer": 0.1}),
            ("three", {"baseline": 0.5, "transfer": 0.3, "lite1": 0.2}),
        ):
            begin(served, name, arms)
            first = everybody()
            stop(served.settings.folder)
            served.start()
            second = everybody()
            row.tried += 2 * CLIENTS
            assert first == second
            shares = {one: count / CLIENTS for one, count in Counter(first).items()}
            assert shares.keys() == arms.keys()
            assert all(abs(shares[one] - share) < 0.01 for one, share in arms.items()), shares
            seen.append(f"{name}: " + ", ".join(f"{shares[one]:.2%} of {share:.0%}" for one, share in arms.items()))
            end(served, name)
        wait_for(lambda: len(written(database_url(served.settings.runs))) == row.tried, "all events", 30)
    row.seen = "; ".join(seen) + "; nobody changed the arm; an event of each answer"


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_killed_while_writing(tmp_path: Path, runtime: str, reliability: Reliability) -> None:
    row = reliability.row(
        "the gateway killed (SIGKILL) while it writes events into SQLite",
        f"of each answer older than {LATER:g} s there is an event, and the database is whole",
    )
    with serving(tmp_path, runtime, others=OTHERS) as served:
        address = database_url(served.settings.runs)
        begin(served, "halves", {"baseline": 0.5, "transfer": 0.5})
        kept, late = 0, 0
        for _ in range(KILLS):
            with Crowd(served) as crowd:
                time.sleep(4)
                killed = time.time()
                kill(gateway_process(served))  # that is the fault
            served.start()
            ids = written(address)
            old = {one for one, when in crowd.answers if when < killed - LATER}
            assert len(old) > 50
            assert old <= ids, f"{len(old - ids)} are missing"
            kept, late = kept + len(old), late + len({one for one, _ in crowd.answers} - ids)
            with sqlite3.connect(served.settings.runs / "events.sqlite") as plain:
                assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            plain.close()
            row.tried += 1
    row.seen = f"all events of {kept:,} answers; {late} of the last second's were lost; the database whole each time"


def test_killed_while_writing_into_postgresql(tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(
        "the gateway killed (SIGKILL) while it writes events into PostgreSQL",
        f"of each answer older than {LATER:g} s there is an event",
    )
    kept = 0
    with postgresql_serving() as server, serving(tmp_path, "local", others=OTHERS, events=server.url) as served:
        for _ in range(KILLS):
            with Crowd(served) as crowd:
                time.sleep(4)
                killed = time.time()
                kill(gateway_process(served))  # that is the fault
            ids, old = written(server.url), {one for one, when in crowd.answers if when < killed - LATER}
            assert len(old) > 50
            assert old <= ids, f"{len(old - ids)} are missing"
            kept += len(old)
            served.start(events=server.url)
            row.tried += 1
    row.seen = f"all events of {kept:,} answers"


def test_postgresql_is_gone(tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(
        f"PostgreSQL, where the events go, killed for {OUTAGE:g} s",
        "answers go on; events from before are whole, and those from meanwhile are written afterwards",
    )
    with postgresql_serving() as server, serving(tmp_path, "local", others=OTHERS, events=server.url) as served:
        begin(served, "halves", {"baseline": 0.5, "transfer": 0.5})
        with Crowd(served) as crowd:
            time.sleep(3)
            before = time.time()
            server.stop()  # that is the fault
            time.sleep(OUTAGE)
            meanwhile = sum(when > before for _, when in crowd.answers)
            waiting = metric(served, "gateway_events_waiting")
            server.start()
            time.sleep(3)
        assert set(crowd.statuses) == {200}
        assert meanwhile > 20
        assert waiting >= 0.8 * meanwhile
        wait_for(lambda: metric(served, "gateway_events_waiting") == 0, "all events to be written", 30)
        assert written(server.url) == {one for one, _ in crowd.answers}
        assert lost(server.url) == metric(served, "gateway_events_lost_total") == 0
        log = (served.settings.folder / FILE).read_text()
        assert "events cannot be written" in log
        assert "events are written again" in log
        row.tried = len(crowd.answers)
    row.seen = f"{meanwhile:,} answers meanwhile, none other than 200; {waiting:,.0f} events waited and were written"


class Alone:
    """A serving machine in a checkout whose folder of runs lies on a small disk."""

    def __init__(self, checkout: Harmed, disks: SmallDisks) -> None:
        self.checkout, self.disks, self.port = checkout, disks, free_ports()
        self.gateway_port = free_ports()
        disks.mount(checkout.runs, "40m")
        self.key = self.do("key", "--scopes", "classify feedback admin", "--rate", "900000/minute", "crowd").strip()
        options = ["--runtime", "local", "--port", str(self.port), "--gateway-port", str(self.gateway_port)]
        self.do("serve", *options, "--archives", str(checkout.archives))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def do(self, *arguments: str) -> str:
        return self.disks._do(str(self.checkout.folder / ".venv/bin/python"), "-m", "gateway", *arguments)

    def stop(self) -> None:
        self.do("stop", "--study", self.checkout.runs.name)


@pytest.fixture
def alone(copy: Harmed) -> Iterator[Alone]:
    disks = SmallDisks(copy)
    try:
        machine = Alone(copy, disks)
        yield machine
        machine.stop()
    finally:
        disks.close()


def test_the_disk_is_full(alone: Alone, tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(
        "the disk full on which the events, the logs and the experiments are",
        "answers go on; events from before are whole, and those from meanwhile are written when there is room",
    )
    runs, disks = alone.checkout.runs, alone.disks
    with Crowd(alone) as crowd:  # type: ignore[arg-type]
        time.sleep(3)
        before = time.time()
        disks._do("sh", "-c", f"cat /dev/zero > {runs}/filler || true")  # that is the fault
        time.sleep(8)
        meanwhile = sum(when > before + 1 for _, when in crowd.answers)
        waiting = metric(alone, "gateway_events_waiting")  # type: ignore[arg-type]
        disks._do("rm", f"{runs}/filler")
        time.sleep(4)
    assert set(crowd.statuses) == {200}
    assert meanwhile > 50
    assert waiting > 0.8 * meanwhile
    wait_for(lambda: metric(alone, "gateway_events_waiting") == 0, "all events to be written", 30)  # type: ignore[arg-type]
    assert metric(alone, "gateway_events_lost_total") == 0  # type: ignore[arg-type]
    alone.do("stop", "--study", runs.name)
    for file in disks.files(runs):
        if file.startswith("events.sqlite"):
            disks._do("cp", f"{runs}/{file}", str(tmp_path))
    with sqlite3.connect(tmp_path / "events.sqlite") as plain:
        ids = {one for (one,) in plain.execute("SELECT id FROM answers")}
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()
    assert ids == {one for one, _ in crowd.answers}
    row.tried = len(crowd.answers)
    row.seen = (
        f"{meanwhile:,} answers meanwhile, none other than 200; {waiting:,.0f} events waited and were written; no loss"
    )


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_shadows_crash_and_sleep(tmp_path: Path, runtime: str, reliability: Reliability) -> None:
    row = reliability.row(
        "shadows that crash at a picture, or take a second for it"
        + ("; and the processes of shadows killed, or stopped (SIGSTOP)" if runtime == "torchserve" else ""),
        "every answer is there, and the same as without them; what shadows could not answer is counted",
    )
    white = white_picture()
    with serving(tmp_path, runtime, others={"crasher": "crash", "sleeper": "slow"}) as served, ExitStack() as stack:
        address = database_url(served.settings.runs)
        crowd = stack.enter_context(Crowd(served, 0))
        expected = {picture: crowd.ask("anna", picture).json()["probabilities"] for picture in (white, PICTURE)}
        begin(served, "unseen", {"baseline": 1.0}, shadows=("crasher", "sleeper"))

        def ask(times: int) -> None:
            for number in range(times):
                picture = (white, PICTURE)[number % 2]
                answer = crowd.ask("anna", picture)
                assert answer.status_code == 200, answer.text
                assert (answer.json()["entry"], answer.json()["probabilities"]) == ("baseline", expected[picture])
                row.tried += 1

        ask(100)
        if runtime == "torchserve":
            workers = [worker_of(served, name) for name in ("crasher", "sleeper")]
            workers[0].kill()  # that is the fault
            workers[1].suspend()
            try:
                ask(100)
            finally:
                workers[1].resume()
        wait_for(lambda: outcomes(address)["crasher", False], "the shadow to crash", 60)
        wait_for(lambda: outcomes(address)["crasher", True], "the shadow to answer", 60)
        wait_for(lambda: outcomes(address)["sleeper", True], "the slow shadow to answer", 60)
        wait_for(lambda: outcomes(address)["baseline", True] == row.tried + 2, "all events to be written", 30)
        assert not outcomes(address)["baseline", False]
        with served.http() as http:
            lines = [
                line for line in http.get("/metrics").text.splitlines() if line.startswith("gateway_shadows_total{")
            ]
    row.seen = f"{row.tried} right answers; shadows: " + ", ".join(
        f"{line.split('outcome=')[1].split(chr(34))[1]} {float(line.split()[-1]):.0f}" for line in lines
    )


def outcomes(address: str) -> Counter[tuple[str, bool]]:
    """How many answers there are, by version and success."""
    engine = connect(address)
    with engine.connect() as connection:
        rows: Any = connection.execute(text("SELECT arm, status FROM answers"))
        counts = Counter((str(arm), status == 200) for arm, status in rows)
    engine.dispose()
    return counts


def worker_of(served: Served, version: str) -> psutil.Process:
    """TorchServe's process that answers for a version."""
    from zoo.serving.connection import RestServer

    server = RestServer(served.settings.folder, served.settings.runtime_port, seconds=10)
    [row] = [row for row in server.rows("lesion_classifier") if row["modelVersion"] == version]
    server.close()
    return psutil.Process(int(row["workers"][0]["pid"]))
