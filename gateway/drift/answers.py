"""What one version answered in a time, out of the database of events: what drift looks at, and no more."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, select

from gateway.events.tables import ANSWERS
from gateway.verdict.answers import AT_ONCE, OK
from lesions.labels import CLASSES


class Answers(NamedTuple):
    """n predictions, by time."""

    times: NDArray[np.float64]
    """Seconds since 1970, UTC."""
    labels: NDArray[np.int64]
    confidences: NDArray[np.float64]
    """Of the predicted class."""
    distances: NDArray[np.float64]
    """Of the features from those of validation; NaN where the version computes none."""

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Answers":
        """Some of them, by a mask [n] or by numbers."""
        return Answers(self.times[rows], self.labels[rows], self.confidences[rows], self.distances[rows])


def of_version(engine: Engine, version: str, since: float, until: float) -> Answers:
    """What one version predicted in a time (seconds since 1970, UTC), in an experiment or not.

    32 bytes an answer stay in memory: a week may have millions.
    """
    chosen = (ANSWERS.c.arm == version) & (ANSWERS.c.status == OK) & _within(since, until)
    query = select(ANSWERS.c.time, ANSWERS.c.probabilities, ANSWERS.c.distance).where(chosen).order_by(ANSWERS.c.time)
    with engine.connect().execution_options(yield_per=AT_ONCE) as connection:
        parts = [_answers(rows) for rows in connection.execute(query).partitions()]
    return Answers(*(np.concatenate(values) for values in zip(_answers([]), *parts, strict=True)))


def versions(engine: Engine, since: float, until: float) -> list[str]:
    """The versions that predicted something in a time (seconds since 1970, UTC), sorted."""
    chosen = (ANSWERS.c.status == OK) & _within(since, until)
    with engine.connect() as connection:
        return sorted(connection.scalars(select(ANSWERS.c.arm).where(chosen).distinct()))


def last_time(engine: Engine) -> float | None:
    """When the last prediction was made; none where there is none."""
    with engine.connect() as connection:
        last: float | None = connection.scalar(select(func.max(ANSWERS.c.time)).where(ANSWERS.c.status == OK))
        return last


def _within(since: float, until: float) -> Any:
    return (ANSWERS.c.time >= since) & (ANSWERS.c.time < until)


def _answers(rows: Sequence[Any]) -> Answers:
    rows = [row for row in rows if row.probabilities]
    probabilities = np.array([row.probabilities for row in rows], np.float64).reshape(-1, len(CLASSES))
    return Answers(
        times=np.array([row.time for row in rows], np.float64),
        labels=probabilities.argmax(1),
        confidences=probabilities.max(1),
        distances=np.array([row.distance for row in rows], np.float64),
    )
