"""The writer, on both databases: rows as they were put, in batches, and none lost unseen."""

import math
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from gateway.events import writer as writing
from gateway.events.database import connect, sqlite_url
from gateway.events.deletion import DAY
from gateway.events.tables import ANSWERS, FEEDBACK, LOSSES
from gateway.events.writer import Writer
from gateway.metrics import Metrics
from lesions.labels import CLASSES
from tests.gateway.events.rows import answer, count, opinion, rows, until
from tests.postgresql import PostgreSQL


def test_what_is_put_is_written_within_a_second(writer: Writer, address: str, metrics: Metrics) -> None:
    made = [answer(number) for number in range(50)]
    begun = time.monotonic()
    for row in made:
        assert writer.put(ANSWERS, row)
    assert writer.waits(made[0]["id"])
    assert not writer.waits("0" * 32)
    writer.put(FEEDBACK, opinion(made[0]))
    assert writer.waiting_labels(made[0]["id"]) == ["mel"]
    until(lambda: not writer._rows)
    assert time.monotonic() - begun < 10  # a shared machine may be slow; the promise itself is held by tests/faults
    assert rows(address, ANSWERS, ANSWERS.c.time) == made
    [feedback] = rows(address, FEEDBACK)
    assert (feedback["answer"], feedback["label"], feedback["number"]) == (made[0]["id"], "mel", 1)
    assert not writer.waits(made[0]["id"])
    assert writer.waiting_labels(made[0]["id"]) == []
    assert (count(metrics, "written_total"), count(metrics, "waiting"), count(metrics, "lost_total")) == (51, 0, 0)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
events = st.fixed_dictionaries(
    {
        "time": st.floats(time.time() - DAY, 1e11),
        "experiment": st.none() | st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=64),
        "arm": st.text("abcdefghijklmnopqrstuvwxyz_0123456789", max_size=64),
        "shadow_of": st.none() | st.uuids().map(lambda one: one.hex),
        "status": st.sampled_from([200, 503]),
        "probabilities": st.none() | st.lists(st.floats(0, 1), min_size=7, max_size=7),
        "latency_ms": st.floats(0, 1e6),
        "distance": st.none() | finite.filter(lambda value: value == 0 or 1e-300 < abs(value) < 1e300),
    }
)


@given(st.lists(events, min_size=1, max_size=20))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_event_is_read_as_it_was_put(writer: Writer, address: str, made: list[dict[str, Any]]) -> None:
    put = [answer(**changes) for changes in made]
    for row in put:
        writer.put(ANSWERS, row)
    until(lambda: not writer._rows)
    wanted = {row["id"]: row for row in put}
    read = {row["id"]: row for row in rows(address, ANSWERS) if row["id"] in wanted}
    assert read == wanted


def test_a_row_that_no_database_takes_stops_no_other(writer: Writer, address: str, metrics: Metrics) -> None:
    good = [answer(number) for number in range(3)]
    bad = answer(status=None)
    for row in (good[0], bad, good[1], good[0], good[2]):  # one of them twice, as after a connection that broke
        writer.put(ANSWERS, row)
    until(lambda: rows(address, LOSSES))
    assert rows(address, ANSWERS, ANSWERS.c.time) == good
    [loss] = rows(address, LOSSES)
    assert (loss["experiment"], loss["rows"], loss["reason"]) == ("lite", 1, "the database refused the row")
    assert count(metrics, "lost_total") == 1


def test_what_does_not_fit_is_counted(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway")
    monkeypatch.setattr(writing, "MOST_WAITING", 10)
    monkeypatch.setattr(writing, "PAUSES", (0.05,))
    (tmp_path / "events.sqlite").write_bytes(b"this is no database, but a file of more than a hundred bytes " * 5)
    writer = Writer(sqlite_url(tmp_path), 365, metrics)
    made = [answer(number, experiment="lite" if number % 2 else None) for number in range(25)]
    assert [writer.put(ANSWERS, row) for row in made] == [True] * 10 + [False] * 15
    assert (count(metrics, "waiting"), count(metrics, "lost_total")) == (10, 15)
    until(lambda: "events cannot be written" in caplog.text)
    assert "file is not a database" in caplog.text
    (tmp_path / "events.sqlite").unlink()  # it was that
    until(lambda: not writer._rows and not any(writer._lost.values()))
    writer.close(5)
    assert rows(sqlite_url(tmp_path), ANSWERS, ANSWERS.c.time) == made[:10]
    losses = rows(sqlite_url(tmp_path), LOSSES)
    assert {row["experiment"]: row["rows"] for row in losses} == {None: 8, "lite": 7}
    assert {row["reason"] for row in losses} == {"too many rows waited for the database"}
    assert "events are being lost" in caplog.text
    assert "events are written again" in caplog.text


def test_the_end_waits_for_what_waits_and_not_for_ever(
    address: str, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway")
    writer = Writer(address, 365, metrics)
    made = [answer(number) for number in range(3000)]
    for row in made:
        writer.put(ANSWERS, row)
    writer.close(20)
    assert len(rows(address, ANSWERS)) == 3000
    assert not writer.put(ANSWERS, answer()), "it has ended"
    stuck = Writer("postgresql://zoo@127.0.0.1:1/nothing", 365, metrics)
    stuck.put(ANSWERS, answer())
    begun = time.monotonic()
    stuck.close(1)
    assert time.monotonic() - begun < 10
    assert '"event": "events lost", "rows": 1' in caplog.text


def test_postgresql_goes_and_comes_back(postgresql: PostgreSQL, metrics: Metrics) -> None:
    writer = Writer(postgresql.url, 365, metrics)
    first, second = answer(1, experiment="gone"), answer(2, experiment="gone")
    writer.put(ANSWERS, first)
    until(lambda: not writer._rows)
    postgresql.stop()
    try:
        for _ in range(3):
            writer.put(ANSWERS, second)
            time.sleep(0.3)  # it is tried meanwhile
        assert len(writer._rows) == 3
    finally:
        postgresql.start()
    until(lambda: not writer._rows)
    writer.close(5)
    assert [row for row in rows(postgresql.url, ANSWERS, ANSWERS.c.client) if row["experiment"] == "gone"] == [
        first,
        second,
    ]
    assert count(metrics, "lost_total") == 0


def test_readers_and_the_writer_do_not_wait_for_each_other(writer: Writer, address: str, metrics: Metrics) -> None:
    writer.put(ANSWERS, answer())
    until(lambda: not writer._rows)
    engine = connect(address)
    with engine.connect() as reader:
        assert reader.scalar(select(func.count()).select_from(ANSWERS)) == 1
        writer.put(ANSWERS, answer())
        until(lambda: not writer._rows, 3)
        assert count(metrics, "written_total") == 2
    engine.dispose()


def test_many_threads(writer: Writer, address: str) -> None:
    def put() -> None:
        for _ in range(200):
            writer.put(ANSWERS, answer())

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: not writer._rows)
    assert len(rows(address, ANSWERS)) == 1600


def test_sqlite_is_set_up_as_promised(tmp_path: Path, metrics: Metrics) -> None:
    writer = Writer(sqlite_url(tmp_path), 365, metrics)
    writer.put(ANSWERS, answer())
    until(lambda: not writer._rows)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.glob("events.sqlite*"))
    with writer.engine.connect() as connection:
        settings = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "secure_delete")
        }
    writer.close(5)
    assert settings == {"journal_mode": "wal", "synchronous": 1, "secure_delete": 1}
    with sqlite3.connect(tmp_path / "events.sqlite") as plain:
        [(kept,)] = plain.execute("select probabilities from answers")
    plain.close()
    assert math.isclose(sum(map(float, kept.strip("[]").split(","))), 1)
    assert kept.count(",") == len(CLASSES) - 1
