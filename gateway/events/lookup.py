"""One answer's rows, while others are written."""

from sqlalchemy import select

from gateway.events.database import make_tables
from gateway.events.tables import ANSWERS, FEEDBACK
from gateway.events.writer import Writer


def look_up(events: Writer, answer: str) -> tuple[bool, str | None]:
    """Whether a client was given an answer with this id, and the label that counts: of what is written, not what waits.

    Raises `SQLAlchemyError`, `OSError`.
    """
    seen = select(ANSWERS.c.id).where(ANSWERS.c.id == answer, ANSWERS.c.shadow_of.is_(None), ANSWERS.c.status == 200)
    labels = select(FEEDBACK.c.label).where(FEEDBACK.c.answer == answer).order_by(FEEDBACK.c.number.desc()).limit(1)
    make_tables(events.engine)
    with events.engine.connect() as connection:
        return connection.scalar(seen) is not None, connection.scalar(labels)
