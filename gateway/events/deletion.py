"""Deleting events: of a client, or old ones. Feedback goes with its answer."""

import time

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, text

from gateway.events.database import EventsError
from gateway.events.tables import ANSWERS, FEEDBACK, LOSSES

AT_ONCE = 1000
"""Answers in one transaction, so that a writer waits for moments only."""
DAY = 24 * 60 * 60


def forget(engine: Engine, clients: list[str]) -> tuple[int, int]:
    """Delete all answers to clients (hashes), shadows' included, and their feedback; returns how many of each.

    Raises `SQLAlchemyError`.
    """
    return _delete(engine, ANSWERS.c.client.in_(clients))


def overwrite(engine: Engine) -> None:
    """Leave nothing of what was deleted in SQLite's files; PostgreSQL does that by itself, in its own time.

    The file is written anew, and the writer waits meanwhile: `secure_delete` overwrites rows, but not the copies that a
    page keeps when it is split. Raises `SQLAlchemyError`, and `EventsError` where another process reads too long.
    """
    if engine.url.get_backend_name() != "sqlite":
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one()
    if busy:
        raise EventsError("deleted, but not yet overwritten: another process reads the events; run it again")


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
