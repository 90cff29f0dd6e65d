"""The table itself: what held, what did not and why, and what could not be tried."""

from tests.faults.conftest import Reliability


def test_rows_are_colored_by_how_their_test_ends() -> None:
    mine = Reliability()
    first, second = mine.row("worker | killed", "an answer", tried=3, seen="one"), mine.row("disk\nfull", "an error")
    mine.judge("test", "AssertionError: assert 503 == 200", None)
    assert first.line == "| held | worker \\| killed | 3 | an answer | one |"
    assert second.line == "| red | disk full | 0 | an error | AssertionError: assert 503 == 200 |"


def test_a_test_that_breaks_before_its_row_is_red_all_the_same() -> None:
    mine = Reliability()
    mine.judge("test_load", "RuntimeError: no server", None)
    assert [row.line for row in mine.rows] == ["| red | test_load | 0 | ? | RuntimeError: no server |"]


def test_what_was_not_seen_or_not_tried_does_not_hold() -> None:
    for tried, seen in ((0, "much"), (1, "")):
        mine = Reliability()
        row = mine.row("fault", "promise", tried, seen)
        mine.judge("test", None, None)
        assert row.line.startswith("| red | ")


def test_a_skipped_test_says_why() -> None:
    mine = Reliability()
    row = mine.row("disk full", "an error")
    mine.judge("test", None, "Skipped: no tmpfs")
    assert row.line == "| not tried | disk full | 0 | an error | Skipped: no tmpfs |"
