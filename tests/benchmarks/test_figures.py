"""What benchmarks must not do: measure in a database with answers, and take one server for another."""

from pathlib import Path

import pytest
import sqlalchemy as sql

from benchmarks.figures import _rows_a_second
from benchmarks.peers.run import KINDS
from benchmarks.serve_throughput import NAMES_OF_PEERS
from gateway.events.database import connect, sqlite_url
from gateway.events.tables import LOSSES
from zoo.serving.runtime import RUNTIMES


def test_a_database_with_a_gateway_s_events_stays_as_it_is(tmp_path: Path) -> None:
    engine = connect(sqlite_url(tmp_path))
    with engine.begin() as connection:
        connection.execute(LOSSES.insert(), {"time": 0.0, "rows": 1, "reason": "of a test"})
    with pytest.raises(SystemExit, match=r"the database has tables \(answers, feedback, losses\); name an empty one"):
        _rows_a_second(sql.create_engine(sqlite_url(tmp_path)), rounds=3)
    with engine.connect() as connection:
        assert connection.scalar(sql.select(LOSSES.c.reason)) == "of a test"
    engine.dispose()


def test_nothing_is_left_in_an_empty_one(tmp_path: Path) -> None:
    engine = sql.create_engine(sqlite_url(tmp_path))
    assert _rows_a_second(engine, rounds=3) > 0
    assert sql.inspect(engine).get_table_names() == []
    engine.dispose()


def test_peers_are_not_taken_for_runtimes_of_ours() -> None:
    assert not set(NAMES_OF_PEERS.values()) & set(RUNTIMES)
    assert set(NAMES_OF_PEERS) == set(KINDS)
