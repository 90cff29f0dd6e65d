"""Where events are: URLs that are taken and those that are not, and no password anywhere."""

from pathlib import Path

import pytest

from gateway.events import database
from gateway.events.database import (
    EventsError,
    check_url,
    connect,
    database_url,
    keep_days,
    keep_url,
    settle,
    sqlite_url,
)

SECRET = "hunter2-9f2c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "that is no URL"),
        ("mysql://zoo@127.0.0.1/events", "scheme 'mysql'"),
        ("sqlite:///events.sqlite", "scheme 'sqlite'"),
        ("postgresql://zoo@127.0.0.1", "scheme"),
        ("postgresql://zoo@127.0.0.1:port/events", "that is no URL"),
        (f"postgresql://zoo:{SECRET}@127.0.0.1/events", "put it into ~/.pgpass, or into PGPASSWORD"),
        (f"postgresql://zoo@127.0.0.1/events?password={SECRET}", "no password in it"),
        (f"postgresql://zoo:{SECRET}@127.0.0.1:port/events", "that is no URL"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(EventsError, match=message) as caught:
        check_url(text)
    assert SECRET not in str(caught.value)


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(EventsError, match=r'pip install "psycopg\[binary\]"'):
        check_url("postgresql://zoo@127.0.0.1/events")


def test_commands_find_out_where_events_are(tmp_path: Path) -> None:
    runs = tmp_path / "a study"
    assert database_url(runs) == sqlite_url(runs)
    keep_url(runs, check_url("postgresql+psycopg://zoo@127.0.0.1:5433/events?sslmode=require"))
    assert database_url(runs) == "postgresql://zoo@127.0.0.1:5433/events?sslmode=require"
    keep_url(runs, "")
    assert database_url(runs) == sqlite_url(runs)
    connect(database_url(runs)).dispose()
    assert (runs / "events.sqlite").exists()
    (runs / "events.url").write_bytes(b"\xff")
    with pytest.raises(EventsError, match="is damaged; say where they are: make serve EVENTS="):
        database_url(runs)


def test_a_start_without_settings_keeps_those_of_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://zoo@127.0.0.1/events"
    assert settle(tmp_path, "", None) == ("", 365)
    assert capsys.readouterr().out == ""
    keep_url(tmp_path, url)
    keep_days(tmp_path, 3000)
    assert settle(tmp_path, "", None) == (url, 3000)
    shown = capsys.readouterr().out
    assert f"events: in {url}, as at the last start; for SQLite: make serve EVENTS=sqlite\n" in shown
    assert "events: kept for 3000 days, as at the last start; else: make serve KEEP_DAYS=365\n" in shown
    assert settle(tmp_path, "sqlite", 30) == ("", 30)
    other = "postgresql://zoo@127.0.0.1/others"
    assert settle(tmp_path, other, 365) == (other, 365)
    assert capsys.readouterr().out == ""
    for damaged in ("many", "-5", ""):
        (tmp_path / "events.days").write_text(damaged)
        with pytest.raises(EventsError, match="is damaged; say how long: make serve KEEP_DAYS=365"):
            settle(tmp_path, "", None)


def test_a_database_that_cannot_be_reached() -> None:
    with pytest.raises(EventsError, match="the events cannot be read") as caught:
        connect("postgresql://zoo@127.0.0.1:1/events")
    assert "they are in postgresql://zoo@127.0.0.1:1/events" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(EventsError, match="file is not a database"):
        connect(sqlite_url(tmp_path))
