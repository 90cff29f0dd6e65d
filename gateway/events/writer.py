"""The writer: events are written behind the answers, in batches, by a thread of their own."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, bindparam, exists, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from gateway import log
from gateway.events.database import make_tables, open_engine, reason
from gateway.events.deletion import AT_ONCE as LIMIT
from gateway.events.deletion import delete_old
from gateway.events.tables import ANSWERS, FEEDBACK, LOSSES
from gateway.metrics import Metrics

MOST_WAITING = 50_000
"""Rows that wait for the database, about 100 MB; a further one is lost, and counted."""
AT_ONCE = 1000
"""Rows in one transaction."""
SECONDS = 0.25
"""How long a row waits for others."""
PAUSES = (0.25, 0.5, 1.0, 2.0)
"""Seconds between tries while the database does not take rows; the last one again and again."""
HOUR = 3600.0
"""How often old events are deleted."""
LARGEST_REASON = 200


class Row(NamedTuple):
    """A row for one of the tables."""

    table: Table
    values: dict[str, Any]


class Writer:
    """Writes rows of events, and deletes old ones, in a thread. All methods belong to any thread."""

    def __init__(self, address: str, keep_days: int, metrics: Metrics) -> None:
        """`address` is the database's URL."""
        self.engine: Engine = open_engine(address)
        self._keep_days, self._metrics = keep_days, metrics
        self._rows: deque[Row] = deque()
        self._answers: set[str] = set()
        """The ids of answers that wait, of those that a client was given."""
        self._labels: dict[str, list[str]] = {}
        """The feedback that waits, by answer."""
        self._lost: Counter[tuple[str | None, str]] = Counter()
        """What has been lost and is not in the table of losses yet, by experiment and reason."""
        self._changed = threading.Condition()
        self._closing, self._end, self._tries = False, 0.0, 0
        self._thread: threading.Thread | None = None
        metrics.waiting.set_function(lambda: len(self._rows))

    def start(self) -> None:
        """Start the thread, which the first row does else: old events are deleted also where no new one comes."""
        with self._changed:
            self._start()

    def put(self, table: Table, values: dict[str, Any]) -> bool:
        """Let a row be written soon; False where too many wait already, and it is lost."""
        with self._changed:
            if self._closing or len(self._rows) >= MOST_WAITING:
                self._lose(values.get("experiment"), 1, "too many rows waited for the database")
                return False
            self._rows.append(Row(table, values))
            if table is FEEDBACK:
                self._labels.setdefault(values["answer"], []).append(values["label"])
            elif table is ANSWERS and values["status"] == 200 and not values["shadow_of"]:
                self._answers.add(values["id"])
            if self._thread is None or len(self._rows) in (1, AT_ONCE):
                self._start()
        return True

    def lose(self, experiment: str | None, why: str) -> None:
        """Count an event that could not be made a row of."""
        with self._changed:
            self._lose(experiment, 1, why)
            self._start()

    def waits(self, answer: str) -> bool:
        """Whether an answer with this id, which a client was given, waits to be written."""
        return answer in self._answers

    def waiting_labels(self, answer: str) -> list[str]:
        """The feedback on an answer that waits to be written, in its order."""
        with self._changed:
            return list(self._labels.get(answer, ()))

    def close(self, seconds: float) -> None:
        """Write what waits, for so many seconds at most; what is left then is lost, as the log says."""
        with self._changed:
            self._closing, self._end = True, time.monotonic() + seconds
            self._changed.notify_all()
        if self._thread:
            self._thread.join(seconds)
        if self._rows:
            log.write(event="events lost", rows=len(self._rows), reason="the gateway ended before they were written")
        self.engine.dispose()

    def _start(self) -> None:
        """Start the thread, or wake it. The lock is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="events", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _lose(self, experiment: str | None, rows: int, why: str) -> None:
        """Count lost rows; the log has a line when it begins. The lock is held."""
        if not self._lost[experiment, why]:
            log.write(event="events are being lost", experiment=experiment, reason=why)
        self._lost[experiment, why] += rows
        self._metrics.lost.inc(rows)

    def _run(self) -> None:
        tables, clean = False, 0.0
        while True:
            with self._changed:
                # Without rows, until the next deletion: at once where the last one left some, or has failed.
                due = max(0.0, clean - time.monotonic())
                self._changed.wait_for(lambda: self._rows or self._lost or self._closing, due)
                # While the database is gone, a full batch is no reason to ask it sooner, nor is the end with rows.
                self._changed.wait_for(
                    lambda: (
                        (self._closing and not (self._rows or self._lost))
                        or (not self._tries and (self._closing or len(self._rows) >= AT_ONCE))
                    ),
                    _pause(self._tries),
                )
                batch, lost = list(islice(self._rows, AT_ONCE)), self._lost.copy()
                if self._closing and (not (batch or lost) or time.monotonic() > self._end):
                    return
            try:
                if not tables:
                    make_tables(self.engine)
                    tables = True
                if batch or lost:
                    self._write(batch, lost)
                if self._tries:
                    log.write(event="events are written again", after_tries=self._tries, waiting=len(self._rows))
                self._tries = 0
                if not self._closing and time.monotonic() > clean and delete_old(self.engine, self._keep_days) < LIMIT:
                    clean = time.monotonic() + HOUR
            except (SQLAlchemyError, OSError, ValueError) as error:  # ValueError: what is damaged is no UTF-8
                if not self._tries:
                    log.write(event="events cannot be written", reason=reason(error), waiting=len(self._rows))
                self._tries, tables = self._tries + 1, False  # tables: it may be another database when it is back

    def _write(self, batch: list[Row], lost: Counter[tuple[str | None, str]]) -> None:
        """Write rows and losses in one transaction, and take them off the queue then."""
        losses = _losses(lost)
        try:
            with self.engine.begin() as connection:
                _insert(connection, (*batch, *losses))
            refused: list[Row] = []
        except (DataError, IntegrityError):  # a row that no database would take must not stop the others
            refused = self._write_singly((*batch, *losses))
        with self._changed:
            for row in batch:
                self._rows.popleft()
                if row.table is FEEDBACK:
                    labels = self._labels[row.values["answer"]]
                    labels.pop(0)
                    if not labels:
                        del self._labels[row.values["answer"]]
                elif row.table is ANSWERS:
                    self._answers.discard(row.values["id"])
            self._lost -= lost
            for row in refused:
                self._lose(row.values.get("experiment"), 1, "the database refused the row")
        self._metrics.written.inc(len(batch) - len(refused))

    def _write_singly(self, rows: Iterable[Row]) -> list[Row]:
        """Write each row by itself; returns those that are refused."""
        refused = []
        for row in rows:
            try:
                with self.engine.begin() as connection:
                    _insert(connection, (row,))
            except (DataError, IntegrityError):
                refused.append(row)
        return refused


def _pause(tries: int) -> float:
    return PAUSES[min(tries, len(PAUSES)) - 1] if tries else SECONDS


def _losses(lost: Mapping[tuple[str | None, str], int]) -> list[Row]:
    now = time.time()
    return [
        Row(LOSSES, {"time": now, "experiment": experiment, "rows": rows, "reason": why[:LARGEST_REASON]})
        for (experiment, why), rows in lost.items()
        if rows
    ]


def _insert(connection: Connection, rows: Iterable[Row]) -> None:
    """Insert answers, then the other rows. An answer that is there already was written before a connection broke.

    Feedback is written only where its answer still is: it may have been deleted while the feedback waited.
    """
    by_table: dict[str, list[Row]] = {}
    for row in rows:
        by_table.setdefault(row.table.name, []).append(row)
    for same in sorted(by_table.values(), key=lambda rows: rows[0].table is not ANSWERS):
        table = same[0].table
        if table is ANSWERS:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            statement: Any = dialect.insert(table).on_conflict_do_nothing(index_elements=["id"])
        elif table is FEEDBACK:
            values = {name: bindparam(name, type_=FEEDBACK.c[name].type) for name in same[0].values}
            is_kept = exists().where(ANSWERS.c.id == values["answer"])
            statement = insert(FEEDBACK).from_select(list(values), select(*values.values()).where(is_kept))
        else:
            statement = insert(table)
        connection.execute(statement, [row.values for row in same])
