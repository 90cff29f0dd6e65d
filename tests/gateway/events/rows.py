"""Rows as the gateway makes them, and rows as they are in the database."""

import hashlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from gateway.events.database import connect
from gateway.metrics import Metrics


def client(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def answer(number: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"id": uuid.uuid4().hex, "time": time.time(), "experiment": "lite", "arm": "transfer", "shadow_of": None}
    row |= {"client": client(number), "status": 200, "probabilities": [1 / 7] * 7, "latency_ms": 12.5}
    return row | {"picture": "0" * 64, "distance": None} | changes


def opinion(of: dict[str, Any], label: str = "mel", **changes: Any) -> dict[str, Any]:
    return {"answer": of["id"], "time": time.time(), "label": label, "key": "phone"} | changes


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def rows(address: str, table: Any, *order: Any) -> list[dict[str, Any]]:
    engine = connect(address)
    with engine.connect() as connection:
        result = [dict(row._mapping) for row in connection.execute(select(table).order_by(*order))]
    engine.dispose()
    return result


def count(metrics: Metrics, name: str) -> float:
    [line] = [line for line in metrics.text().decode().splitlines() if line.startswith(f"gateway_events_{name} ")]
    return float(line.split()[1])
