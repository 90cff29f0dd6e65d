"""Deleting events: of a client, or old ones. Feedback goes with its answer."""

import time

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, text

from gateway.events.tables import ANSWERS, FEEDBACK, LOSSES

AT_ONCE = 1000
"""Answers in one transaction, so that a writer waits for moments only."""
DAY = 24 * 60 * 60


def forget(engine: Engine, clients: list[str]) -> tuple[int, int]:
    """Delete all answers to clients (hashes), shadows' included, and their feedback; returns how many of each.

    In SQLite's files nothing of them is left. Raises `SQLAlchemyError`.
    """
    deleted = _delete(engine, ANSWERS.c.client.in_(clients))
    if engine.url.get_backend_name() == "sqlite":
        with engine.connect() as connection:  # what was overwritten is still in the log that is written ahead
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return deleted


def delete_old(engine: Engine, keep_days: int) -> int:
    """Delete what is older, `AT_ONCE` answers at most; returns how many answers. Raises `SQLAlchemyError`."""
    oldest = time.time() - keep_days * DAY
    with engine.begin() as connection:
        connection.execute(delete(LOSSES).where(LOSSES.c.time < oldest))
        return _delete_some(connection, ANSWERS.c.time < oldest)[0]


def _delete(engine: Engine, which: ColumnElement[bool]) -> tuple[int, int]:
    answers = feedback = 0
    while True:
        with engine.begin() as connection:
            some, of_them = _delete_some(connection, which)
        answers, feedback = answers + some, feedback + of_them
        if some < AT_ONCE:
            return answers, feedback


def _delete_some(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """Delete `AT_ONCE` answers at most, and their feedback; returns how many of each."""
    ids = list(connection.scalars(select(ANSWERS.c.id).where(which).limit(AT_ONCE)))
    if not ids:
        return 0, 0
    of_them = FEEDBACK.c.answer.in_(ids)
    feedback = connection.scalar(select(func.count()).select_from(FEEDBACK).where(of_them)) or 0
    connection.execute(delete(FEEDBACK).where(of_them))
    connection.execute(delete(ANSWERS).where(ANSWERS.c.id.in_(ids)))
    return len(ids), feedback
