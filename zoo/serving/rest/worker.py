"""What the app asks of what answers for a version: threads of this process, or replicas on a cluster."""

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from zoo.serving.rest.forms import FormError, parse
from zoo.serving.service import PNG, Answer, Service, refuse

JSON = "application/json"
MOST_WAITING = 100
"""Requests that wait for one version: job_queue_size in config.properties."""


class Busy(Exception):
    """As many requests wait for a version as may."""


class Unavailable(Exception):
    """Nobody answers for a version at present."""


class Sent(NamedTuple):
    """An answer as it is sent, and what it took."""

    status: int
    content: bytes
    media_type: str
    seconds: float
    """That somebody worked on it: without waiting, and without the way."""


class Worker(Protocol):
    """Answers for one version."""

    entry: dict[str, Any]
    """The archive's `entry.json`."""

    @property
    def waiting(self) -> int:
        """How many requests wait."""

    async def processes(self) -> list[dict[str, Any]]:
        """Who answers, as `workers` in TorchServe's description of a version; each has `id` and `status` at least."""

    async def answer(self, content: bytes, headers: Mapping[str, str], explain: bool, unseen: bool = False) -> Sent:
        """The answer to a body with its headers, by name in lower case. Raises `Busy` and `Unavailable`.

        Cancelled while it waits, it leaves the queue. An `unseen` answer, for which nobody waits, delays no other one.
        """


def answer(service: Service, content: bytes, headers: Mapping[str, str], explain: bool) -> Sent:
    """A service's answer, as JSON or PNG. All that takes time is done here."""
    began = time.perf_counter()
    answer: Answer
    try:
        [answer] = service.answer([parse(content, headers, explain)])
    except FormError as error:
        answer = refuse(400, str(error))
    body = json.dumps(answer.body, allow_nan=False).encode() if answer.png is None else answer.png
    return Sent(answer.status, body, JSON if answer.png is None else PNG, time.perf_counter() - began)
