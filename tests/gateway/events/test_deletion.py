"""What is deleted is gone from both databases, and from SQLite's files."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from gateway.events.database import EventsError, sqlite_url
from gateway.events.deletion import AT_ONCE, DAY, delete_old, forget, overwrite
from gateway.events.tables import ANSWERS, FEEDBACK
from gateway.events.writer import Writer
from gateway.metrics import Metrics
from tests.gateway.calls import Front
from tests.gateway.events.rows import answer, client, opinion, rows, until


def test_forgetting_a_client(address: str, metrics: Metrics) -> None:
    writer = Writer(address, 365, metrics)
    of_one, of_other = [answer(1) for _ in range(2500)], [answer(2) for _ in range(3)]
    shadow = answer(1, shadow_of=of_one[0]["id"], arm="views")
    for row in (*of_one, *of_other, shadow):
        writer.put(ANSWERS, row)
    for row in (of_one[0], of_one[0], of_other[0]):
        writer.put(FEEDBACK, opinion(row))
    until(lambda: not writer._rows)
    assert forget(writer.engine, [client(1), client(9)]) == (2501, 2)
    assert forget(writer.engine, [client(1)]) == (0, 0)
    writer.close(5)
    assert {row["id"] for row in rows(address, ANSWERS)} == {row["id"] for row in of_other}
    assert [row["answer"] for row in rows(address, FEEDBACK)] == [of_other[0]["id"]]


def test_feedback_that_waits_goes_with_its_answer(address: str, metrics: Metrics) -> None:
    writer = Writer(address, 365, metrics)
    gone, kept = answer(1), answer(2)
    for row in (gone, kept):
        writer.put(ANSWERS, row)
    until(lambda: not writer._rows)
    forget(writer.engine, [client(1)])
    late = answer(2)
    for row in (gone, kept):
        writer.put(FEEDBACK, opinion(row))
    writer.put(ANSWERS, late)  # in the same batch as its feedback, which comes behind that of others
    writer.put(FEEDBACK, opinion(late))
    writer.close(5)
    assert sorted(row["answer"] for row in rows(address, FEEDBACK)) == sorted([kept["id"], late["id"]])


def test_nothing_of_what_was_deleted_is_left_in_sqlite_s_files(tmp_path: Path, metrics: Metrics) -> None:
    writer = Writer(sqlite_url(tmp_path), 365, metrics)
    made = [answer(1, arm="a_very_special_arm") for _ in range(300)]
    for row in (*made, *[answer(2) for _ in range(300)]):
        writer.put(ANSWERS, row)
    until(lambda: not writer._rows)
    forget(writer.engine, [client(1)])
    overwrite(writer.engine)
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("events.sqlite*"))
    writer.close(5)
    assert client(2).encode() in kept
    for secret in (made[0]["id"], made[-1]["id"], client(1), "a_very_special_arm"):
        assert secret.encode() not in kept


def test_what_another_process_still_reads_is_not_called_overwritten(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.events.database.SECONDS", 0.1)
    writer = Writer(sqlite_url(tmp_path), 365, metrics)
    writer.put(ANSWERS, answer(1))
    until(lambda: not writer._rows)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM answers").fetchall()
        forget(writer.engine, [client(1)])
        with pytest.raises(EventsError, match="another process reads"):
            overwrite(writer.engine)
    overwrite(writer.engine)
    writer.close(5)


def test_old_events_are_deleted(address: str, metrics: Metrics) -> None:
    now = time.time()
    old, new = answer(1, time=now - 10.5 * DAY), answer(2, time=now - 9.5 * DAY)
    before = Writer(address, 365, metrics)
    for row in (old, new):
        before.put(ANSWERS, row)
        before.put(FEEDBACK, opinion(row))
    before.close(5)
    writer = Writer(address, 10, metrics)
    writer.put(ANSWERS, answer(3))
    until(lambda: {row["client"] for row in rows(address, ANSWERS)} == {client(2), client(3)})
    assert [row["answer"] for row in rows(address, FEEDBACK)] == [new["id"]]
    assert delete_old(writer.engine, 10) == 0
    writer.close(5)


def test_all_old_events_are_deleted_where_nothing_is_asked(tmp_path: Path, metrics: Metrics) -> None:
    address, now = sqlite_url(tmp_path), time.time()
    before = Writer(address, 365, metrics)
    for number in range(2 * AT_ONCE + 5):
        before.put(ANSWERS, answer(1, time=now - (9.5 if number < 5 else 10.5) * DAY))
    before.close(20)
    assert len(rows(address, ANSWERS)) == 2 * AT_ONCE + 5
    with Front(tmp_path, keep_days=10).client():
        until(lambda: len(rows(address, ANSWERS)) == 5)


def test_the_end_does_not_wait_for_a_database_that_is_gone(metrics: Metrics) -> None:
    writer = Writer("postgresql://zoo@127.0.0.1:1/nothing", 365, metrics)
    writer.start()
    until(lambda: writer._tries > 3)  # it waits for two seconds then
    begun = time.monotonic()
    writer.close(20)
    assert time.monotonic() - begun < 1.5
