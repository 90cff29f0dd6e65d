"""An experiment's rows, as the gateway writes them, of made-up answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, create_engine, insert

from gateway.events.tables import ANSWERS, FEEDBACK, METADATA
from lesions.labels import CLASSES

STARTED = 1_760_000_000.0


def database(file: Path) -> Engine:
    """An empty database of events."""
    engine = create_engine(f"sqlite:///{file}")
    METADATA.create_all(engine)
    return engine


def probabilities(label: int, confidence: float = 0.8) -> list[float]:
    """Those of an answer with this class number."""
    rest = (1 - confidence) / (len(CLASSES) - 1)
    return [confidence if number == label else rest for number in range(len(CLASSES))]


def answer(number: int, arm: str, client: str, label: int | None, **others: Any) -> dict[str, Any]:
    """One row; `label` none is a failure."""
    row = {
        "id": f"{number:032x}",
        "time": STARTED + number,
        "experiment": "trial",
        "arm": arm,
        "shadow_of": None,
        "client": client,
        "status": 500 if label is None else 200,
        "probabilities": None if label is None else probabilities(label),
        "latency_ms": 10.0 + number % 7,
        "picture": f"{number:064x}",
        "distance": None,
    }
    return row | others


def feedback(number: int, label: int, time: float | None = None) -> dict[str, Any]:
    """One row of feedback for the answer of that number."""
    at = STARTED + number + 60 if time is None else time
    return {"answer": f"{number:032x}", "time": at, "label": CLASSES[label], "key": "clinic"}


def write(engine: Engine, answers: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]]) -> None:
    """Add rows."""
    with engine.begin() as connection:
        if answers:
            connection.execute(insert(ANSWERS), list(answers))
        if labels:
            connection.execute(insert(FEEDBACK), list(labels))


def trial(
    engine: Engine,
    answers: int,
    accuracies: dict[str, float],
    shadows: dict[str, float] | None = None,
    *,
    seed: int = 0,
    clients: int | None = None,
    labeled: float = 1.0,
    share: float = 0.5,
) -> None:
    """Write an experiment of two arms: every answer is right by its arm's accuracy, and shadows by theirs."""
    random = np.random.default_rng(seed)
    names = list(accuracies)
    of_client = (random.random(clients or answers) < share).astype(int)
    rows, labels = [], []
    for number in range(answers):
        client = int(random.integers(clients)) if clients else number
        truth = number % len(CLASSES)

        def label(accuracy: float, truth: int = truth) -> int:
            return truth if random.random() < accuracy else (truth + 1) % len(CLASSES)

        arm = names[of_client[client]]
        rows.append(answer(number, arm, f"{client:064x}", label(accuracies[arm])))
        for at, (shadow, accuracy) in enumerate((shadows or {}).items()):
            own = answer((at + 1) * 1_000_000 + number, shadow, f"{client:064x}", label(accuracy))
            rows.append(own | {"shadow_of": f"{number:032x}", "time": STARTED + number})
        if random.random() < labeled:
            labels.append(feedback(number, truth))
    write(engine, rows, labels)
