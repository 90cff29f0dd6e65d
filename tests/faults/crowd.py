"""Clients of a live experiment, and what is written of their answers."""

import itertools
import threading
import time
from collections import Counter
from typing import Any, Protocol

import httpx
from sqlalchemy import func, select

from benchmarks.light_client import LightClient
from gateway.events.database import connect
from gateway.events.tables import ANSWERS, LOSSES
from gateway.experiments import files
from tests.faults.garbage import noise
from tests.gateway.servers import Served
from tests.images import file_of

PICTURE = file_of(noise())
OTHERS = {"transfer": None, "lite1": None}


class Front(Protocol):
    """A gateway that serves."""

    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...
    def http(self) -> httpx.Client: ...


class Crowd:
    """Clients that ask, and note what they get and when."""

    def __init__(self, served: Front, threads: int = 3) -> None:
        self.served, self._http = served, LightClient()
        self.answers: list[tuple[str, float]] = []
        """The ids of answers, and when each came."""
        self.statuses: Counter[object] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(threads)]

    def ask(self, client: str, picture: bytes = PICTURE, path: str = "/v1/classify") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.served.key}", "X-Client-Id": client}
        return self._http.post(self.served.url + path, content=picture, headers=headers)

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _ask_on(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            try:
                answer = self.ask(f"client{number}-{turn % 50}")
            except httpx.TransportError:
                self.statuses["no connection"] += 1
                time.sleep(0.05)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.answers.append((answer.json()["id"], time.time()))


def begin(served: Served, name: str, arms: dict[str, float], **fields: Any) -> None:
    experiment = files.create(name=name, started=time.time(), arms=arms, **fields)
    files.start(served.settings.runs / files.FOLDER, experiment)


def end(served: Served, name: str) -> None:
    files.change(served.settings.runs / files.FOLDER, name, lambda one: files.update(one, ended=time.time()))


def written(address: str) -> set[str]:
    """The ids of all answers that are written."""
    engine = connect(address)
    with engine.connect() as connection:
        ids = set(connection.scalars(select(ANSWERS.c.id)))
    engine.dispose()
    return ids


def lost(address: str) -> int:
    engine = connect(address)
    with engine.connect() as connection:
        number = connection.scalar(select(func.sum(LOSSES.c.rows))) or 0
    engine.dispose()
    return int(number)


def metric(served: Front, name: str) -> float:
    with served.http() as http:
        return float(
            next(line.split()[1] for line in http.get("/metrics").text.splitlines() if line.startswith(f"{name} "))
        )
