"""A gateway with an experiment: what its tests ask, and what they read of the events."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from starlette.testclient import TestClient

from gateway.backend import Question, Reply
from gateway.events.tables import ANSWERS
from gateway.experiments import files
from gateway.experiments.experiment import Experiment
from tests.gateway.calls import PICTURE, Front, Runtime

CLASSIFY = "/v1/classify"
HALVES = {"baseline": 0.5, "transfer": 0.5}


class Moody(Runtime):
    """A runtime whose versions may fail, sleep or break."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: dict[str, Callable[[], Any]] = {}

    async def answer(self, question: Question) -> Reply:
        if mood := self.moods.get(question.version or ""):
            made = mood()
            if isinstance(made, Reply):
                return made
            await made
        return await super().answer(question)


def folder(front: Front) -> Path:
    return front.gateway.settings.runs / files.FOLDER


def begin(front: Front, name: str = "halves", arms: dict[str, float] | None = None, **fields: Any) -> Experiment:
    fields = {"name": name, "started": time.time(), "arms": arms or HALVES} | fields
    return files.start(folder(front), files.create(**fields))


def entry(client: TestClient, who: str, path: str = CLASSIFY) -> str:
    answer = client.post(path, content=PICTURE, headers={"X-Client-Id": who})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["entry"])


def events(front: Front) -> list[Any]:
    """All answers that are written, when none waits any more."""
    writer = front.gateway.events
    deadline = time.monotonic() + 20
    while writer._rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with writer.engine.connect() as connection:
        return list(connection.execute(select(ANSWERS).order_by(ANSWERS.c.time)))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def broken() -> Reply:
    return Reply(500, "application/json", b'{"message": "Worker died."}')
