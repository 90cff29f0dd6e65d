"""A bar on a terminal of its own; else lines with the time left."""

import sys

import pytest

from zoo.progress import ProgressBar


class Clock:
    """A clock for tests."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_lines_estimate_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("zoo.progress.time", clock := Clock())
    progress = ProgressBar("sagan", "step", total=100, done=20)
    progress.update(10)
    clock.now += 600
    progress.report("step 30/100", "KID 1.5")
    progress.update(70)
    progress.report("step 100/100", "KID 1.0")
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "sagan: step 30/100  KID 1.5  about 1:10:00 left",
        "sagan: step 100/100  KID 1.0  trained",
    ]


@pytest.mark.parametrize(("flags", "lines"), [("", 0), (" -j2 --jobserver-auth=3,4", 1)])
def test_a_bar_needs_a_terminal_of_its_own(
    flags: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("MAKEFLAGS", flags)
    progress = ProgressBar("sagan", "step", total=2)
    progress.update()
    progress.report("step 1/2", "KID 1.5")
    progress.close()
    error = capsys.readouterr().err
    assert error.count("about 00:00 left") == lines
    assert ("\r" in error) == (not lines)
