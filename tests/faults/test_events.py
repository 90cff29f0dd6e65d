"""Events under faults: answers go on, events from before are whole, and what is lost is counted."""

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from gateway import process
from gateway.events.database import database_url
from gateway.log import FILE
from tests.faults.checkout import Harmed, wait_for
from tests.faults.conftest import Reliability
from tests.faults.crowd import OTHERS, Crowd, begin, lost, metric, written
from tests.faults.serving import is_gone
from tests.faults.small_disk import SmallDisks
from tests.gateway.servers import Served, serving
from tests.postgresql import serving as postgresql_serving
from tests.servers import SERVED_BY, free_ports, state

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.slow]
KILLS = 5
OUTAGE = float(os.environ.get("OUTAGE", "8"))
"""Seconds for which PostgreSQL is gone."""

LATER = 1.0
"""Seconds after an answer from which on its event outlives a kill."""


def gateway_process(served: Served) -> psutil.Process:
    # A process of its own, or the server's.
    running = process.read_state(served.settings.folder) or state(served.settings.folder)
    assert running is not None
    return psutil.Process(running["pid"])


def kill(one: psutil.Process) -> None:
    one.kill()
    wait_for(lambda: is_gone(one.pid), "the end of the gateway", 10)  # its ports are free then


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
    with Crowd(alone) as crowd:
        time.sleep(3)
        before = time.time()
        disks._do("sh", "-c", f"cat /dev/zero > {runs}/filler || true")  # that is the fault
        time.sleep(8)
        meanwhile = sum(when > before + 1 for _, when in crowd.answers)
        waiting = metric(alone, "gateway_events_waiting")
        disks._do("rm", f"{runs}/filler")
        time.sleep(4)
    assert set(crowd.statuses) == {200}
    assert meanwhile > 50
    assert waiting > 0.8 * meanwhile
    wait_for(lambda: metric(alone, "gateway_events_waiting") == 0, "all events to be written", 30)
    assert metric(alone, "gateway_events_lost_total") == 0
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
