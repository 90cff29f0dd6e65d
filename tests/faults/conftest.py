"""Faults on purpose: what was promised and what was seen becomes `docs/reliability.md` (`make faults`).

`row = reliability.row(fault="worker killed", promised="the client gets its answer")` before the fault is tried; then
`row.tried += 1` each time and `row.seen = "..."` in the end. A test that fails, or sees nothing, turns its row red.
A test with `@pytest.mark.thorough` runs only where tests/faults is named, as `make faults` does.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from lesions.files import atomic_write
from tests.faults.checkout import Harmed
from tests.faults.serving import Served, processes_of
from tests.servers import SERVED_BY

TARGET = "RELIABILITY"
"""The environment's variable that names the file to write; `make faults` sets it."""

HEAD = """\
# What goes wrong, and what comes of it

Written by `make faults`, which does each of these things on purpose to the real `make` and real servers, on
small made-up pictures and networks. Never edited by hand.

{where}

| | fault | tried | promised | seen |
| --- | --- | --- | --- | --- |
"""


@dataclass(eq=False)
class Row:
    """One fault."""

    fault: str
    promised: str
    tried: int = 0
    seen: str = ""
    trouble: str = ""
    """Why it is red; empty as long as it is not."""
    skipped: str = ""
    """Why it could not be tried here."""

    @property
    def line(self) -> str:
        """A line of the table."""
        state = "red" if self.trouble else "not tried" if self.skipped else "held"
        seen = "; ".join(text for text in (self.seen, self.trouble, self.skipped) if text)
        cells = (state, self.fault, str(self.tried), self.promised, seen)
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


@dataclass
class Reliability:
    """The rows of one test."""

    runtime: str = ""
    """Who serves, if the test has a server."""
    rows: list[Row] = field(default_factory=list)

    def row(self, fault: str, promised: str, tried: int = 0, seen: str = "") -> Row:
        """Begin a row, before the fault is tried: should the test fail, the row begun last turns red."""
        fault = f"{fault} (served by {self.runtime})" if self.runtime else fault
        self.rows.append(Row(fault, promised, tried, seen))
        return self.rows[-1]

    def judge(self, test: str, failure: str | None, skipped: str | None) -> None:
        """Color the rows by how the test ended."""
        if failure is not None or skipped is not None:
            last = self.rows[-1] if self.rows else self.row(test, "?")
            last.trouble, last.skipped = failure or last.trouble, skipped or ""
            return
        for row in self.rows:
            if not row.seen or not row.tried:
                row.trouble = "the test did not say what it saw, or how often it tried"


ROWS = pytest.StashKey[list[Row]]()
MINE = pytest.StashKey[Reliability]()
BEGAN = pytest.StashKey[float]()


@pytest.fixture
def reliability(request: pytest.FixtureRequest) -> Reliability:
    """Rows of docs/reliability.md; the module's docstring says how."""
    mine: Reliability = request.node.stash.setdefault(MINE, Reliability())
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    mine.runtime = parameters.get("served") or parameters.get("runtime") or ""
    return mine


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After all of them no process is left that works in one of the tests' folders."""
    yield
    left = processes_of(tmp_path_factory.getbasetemp())
    output = [process.cmdline() for process in left if process.is_running()]
    for process in left:
        process.kill()
    assert output == []


@pytest.fixture(scope="session")
def built(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Harmed:
    """A checkout with two versions, built by `make zoo` without a fault. Do no harm to it, but to a copy."""
    checkout = Harmed(tmp_path_factory.mktemp("built") / "checkout", tiny)
    checkout.made("zoo", ENTRIES="baseline weighted_loss")
    return checkout


@pytest.fixture
def empty(built: Harmed, tmp_path: Path) -> Harmed:
    """A checkout to do harm to, in which nothing is built."""
    checkout = built.copy(tmp_path / "checkout")  # of the code, too, whoever edits it meanwhile
    checkout.wipe()
    return checkout


@pytest.fixture
def copy(built: Harmed, tmp_path: Path) -> Harmed:
    """A checkout to do harm to, in which two versions are built."""
    return built.copy(tmp_path / "checkout")


@pytest.fixture(scope="module", params=SERVED_BY)
def served(built: Harmed, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    """Two versions served by `make serve`, for the tests of one module, which leave it serving."""
    serving = Served(built.copy(tmp_path_factory.mktemp("served") / "checkout"), request.param)
    try:
        serving.start()
        yield serving
    finally:
        serving.stop()
        for stray in processes_of(serving.checkout.folder):
            stray.kill()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", "thorough: takes long; runs where tests/faults is named (make faults)")
    config.stash[ROWS] = []
    config.stash[BEGAN] = time.monotonic()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the thorough tests out, unless this folder or a file of it is named."""
    if any("faults" in str(argument) for argument in config.invocation_params.args):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Color a test's rows when it has ended, also where a fixture of it failed."""
    report = yield
    mine = item.stash.get(MINE, None)
    if mine is None and (report.passed or Path(__file__).parent not in item.path.parents):
        return report
    if mine is None:
        mine = item.stash.setdefault(MINE, Reliability())
    if call.when == "call" or not report.passed:
        mine.judge(item.name, _reason(call) if report.failed else None, _reason(call) if report.skipped else None)
    rows = item.config.stash[ROWS]
    rows.extend(row for row in mine.rows if row not in rows)
    return report


def _reason(call: pytest.CallInfo[Any]) -> str:
    """What a failure or a skip says, in one line."""
    value = None if call.excinfo is None else call.excinfo.value
    lines = [line for line in str(value).splitlines() if line.strip()]
    return f"{type(value).__name__}: {lines[0][:300]}" if lines else type(value).__name__


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table, if it is asked for and the tests ran to their end."""
    target, rows = os.environ.get(TARGET), session.config.stash.get(ROWS, [])
    if not target or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    red = sum(bool(row.trouble) for row in rows)
    memory = psutil.virtual_memory().total / 2**30
    untried = sum(bool(row.skipped) for row in rows)
    minutes, seconds = divmod(round(time.monotonic() - session.config.stash[BEGAN]), 60)
    where = (
        f"{len(rows)} faults, {red} of them red, {untried} not tried, in {minutes} min {seconds} s. "
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} processors, {memory:.0f} GiB."
    )
    atomic_write(Path(target), HEAD.format(where=where) + "".join(row.line + "\n" for row in rows))
