"""An experiment's answers, with the labels that came for them, out of the database of events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Select, func, select

from gateway.events.tables import ANSWERS, FEEDBACK, LOSSES
from gateway.experiments.experiment import Experiment
from lesions.labels import CLASSES

OK = 200
AT_ONCE = 10_000
"""Rows that are objects at a time."""


@dataclass(frozen=True)
class Answers:
    """n answers of arms and shadows, by time."""

    ids: NDArray[np.str_]
    times: NDArray[np.float64]
    """Seconds since 1970, UTC."""
    versions: NDArray[np.str_]
    shadow_of: NDArray[np.str_]
    """The id of the answer that the client saw; empty where it is this one."""
    clients: NDArray[np.str_]
    statuses: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """[n, 7]; NaN at an error."""
    latencies: NDArray[np.float64]
    """Milliseconds."""
    distances: NDArray[np.float64]
    """Of the features from those of validation; NaN where the version computes none."""
    truth: NDArray[np.int64]
    """The class of the last feedback, -1 where there is none; a shadow has that of the answer which it shadows."""
    known: NDArray[np.float64]
    """When that feedback came; NaN where there is none."""
    contradictions: int
    """Answers with feedback of more than one class."""
    lost: int = 0
    """Events of the experiment that could not be written."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Answers":
        """Some of the answers, by a mask [n] or by numbers."""
        arrays: dict[str, Any] = {k: value[rows] for k, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which are predictions, not errors."""
        return np.asarray((self.statuses == OK) & ~np.isnan(self.probabilities).any(1))

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which are predictions with feedback."""
        return np.asarray(self.answered & (self.truth >= 0))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class numbers of the predictions, -1 at an error."""
        return np.where(self.answered, np.nan_to_num(self.probabilities).argmax(1), -1)


def of_experiment(engine: Engine, experiment: Experiment) -> Answers:
    """Everything that an experiment's arms and shadows answered."""
    chosen = (ANSWERS.c.experiment == experiment.name) & (ANSWERS.c.time >= experiment.started)
    missing = (LOSSES.c.experiment == experiment.name) & (LOSSES.c.time >= experiment.started)
    with engine.connect() as connection:
        lost = connection.scalar(select(func.sum(LOSSES.c.rows)).where(missing))
        return replace(_read(connection, select(ANSWERS).where(chosen)), lost=int(lost or 0))


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> Answers:
    labels: dict[str, tuple[int, float]] = {}
    given: dict[str, set[str]] = {}
    ids = select(query.subquery().c.id)
    sent = select(FEEDBACK).where(FEEDBACK.c.answer.in_(ids)).order_by(FEEDBACK.c.number)
    for row in connection.execute(sent):
        given.setdefault(row.answer, set()).add(row.label)
        if row.label in CLASSES:
            labels[row.answer] = CLASSES.index(row.label), row.time
    # Row objects are some ten times as large as the arrays.
    found = connection.execution_options(yield_per=AT_ONCE).execute(query.order_by(ANSWERS.c.time, ANSWERS.c.id))
    parts = [_arrays([], labels), *(_arrays(rows, labels) for rows in found.partitions())]
    arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Answers(**arrays, contradictions=sum(len(labels_of_one) > 1 for labels_of_one in given.values()))


def _arrays(rows: Sequence[Any], labels: Mapping[str, tuple[int, float]]) -> dict[str, NDArray[Any]]:
    none = (-1, float("nan"))
    last = [labels.get(row.shadow_of or row.id, none) for row in rows]
    empty = [float("nan")] * len(CLASSES)
    return {
        "ids": np.array([row.id for row in rows], dtype=np.str_),
        "times": np.array([row.time for row in rows], dtype=np.float64),
        "versions": np.array([row.arm for row in rows], dtype=np.str_),
        "shadow_of": np.array([row.shadow_of or "" for row in rows], dtype=np.str_),
        "clients": np.array([row.client for row in rows], dtype=np.str_),
        "statuses": np.array([row.status for row in rows], dtype=np.int64),
        "probabilities": np.array([row.probabilities or empty for row in rows], np.float64).reshape(-1, len(CLASSES)),
        "latencies": np.array([row.latency_ms for row in rows], dtype=np.float64),
        "distances": np.array([row.distance for row in rows], dtype=np.float64),
        "truth": np.array([label for label, _ in last], dtype=np.int64),
        "known": np.array([time for _, time in last], dtype=np.float64),
    }
