"""What a demand needs, by arithmetic that can be done by hand; and the page has what the records say."""

import json

import pytest

from benchmarks import scaling
from benchmarks.capacity import BUSY, CORES, DOLLARS, HOURS, Work, limits, need, peak_of_a_day


def test_needs_grow_with_rate_and_work() -> None:
    wanted = need(600, Work(decode=6, forward=2, gateway=2))
    assert wanted.cores == pytest.approx(600 * 0.010 / BUSY)
    assert wanted.pods == 5
    assert wanted.dollars == pytest.approx([5 * CORES * HOURS * price for price in DOLLARS])
    assert need(1200, Work(6, 2, 2)).pods == need(600, Work(12, 4, 4)).pods == 10


def test_there_is_a_second_pod_however_little_is_asked() -> None:
    assert need(0.1, Work(6, 2, 2)).pods == 2


def test_a_million_answers_a_day() -> None:
    assert peak_of_a_day(1_000_000) == pytest.approx(34.72, abs=0.01)


def test_the_first_part_to_break_comes_first() -> None:
    found = limits(Work(decode=5, forward=3, gateway=2), jpeg_bytes=200_000, sqlite=50, postgresql=9000)
    rates = [limit.rate for limit in found]
    assert rates == sorted(rates)
    assert found[0].part.startswith("events in SQLite")
    by_part = {limit.part: limit.rate for limit in found}
    assert by_part["the event loop of one gateway, however many cores"] == 500
    assert by_part["a network of 1 Gbit/s, for pictures alone"] == 625


def test_a_database_that_was_not_measured_has_no_row() -> None:
    figures = json.loads((scaling.RECORDS / "figures.json").read_text())
    load = json.loads((scaling.RECORDS / "load.json").read_text())
    del figures["postgresql_rows_a_second"]
    page = scaling.filled(scaling.PAGE.read_text(), load, figures)
    assert "| events in SQLite" in page
    assert "| events in one PostgreSQL" not in page


def test_the_page_has_what_the_records_say() -> None:
    load, figures = (json.loads((scaling.RECORDS / name).read_text()) for name in ("load.json", "figures.json"))
    page = scaling.PAGE.read_text()
    assert scaling.filled(page, load, figures) == page, "python -m benchmarks.scaling"
    assert sum(0.7 <= row["ratio_p99"] <= 1.3 for row in load["loads"]) >= 3


def test_a_page_without_marks_is_an_error() -> None:
    load = json.loads((scaling.RECORDS / "load.json").read_text())
    figures = json.loads((scaling.RECORDS / "figures.json").read_text())
    with pytest.raises(ValueError, match="marks of queue"):
        scaling.filled("# A page", load, figures)
