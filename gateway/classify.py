"""Classifying pictures: who answers, by the running experiment; an id and an event for each answer; and shadows."""

import asyncio
import hashlib
import json
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from gateway import log
from gateway.ask import SECONDS, ask_picture, is_full
from gateway.backend import Question, Reply, Unavailable
from gateway.context import Gateway, gateway_of
from gateway.events.database import UNREADABLE, EventsError
from gateway.events.lookup import look_up
from gateway.events.tables import ANSWERS, GIVEN_UP
from gateway.events.writer import Writer
from gateway.experiments.running import NOTHING, Plan
from gateway.experiments.shadows import Task
from gateway.keys import Key
from gateway.pictures import Picture
from gateway.problems import Failure, Problem
from lesions.labels import CLASSES
from zoo.kinds.classifier import CLASSIFIER

SMALL = 2**18
"""Bytes that are hashed in less time than another thread needs to begin."""
KIND = "application/octet-stream"
GAVE_UP = 0.5
"""The part of the guard's latency after which a client that hangs up counts as one that waited too long."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and who answers."""

    client: str
    """The hash; empty where there is none, and so no experiment and no event."""
    plan: Plan
    key: str = ""
    """The name of its API key."""


@dataclass
class Answered:
    """The answer to one picture, for the client, and what is to be done behind it."""

    body: dict[str, Any]
    shadows: list[Task] = field(default_factory=list)


def caller(request: Request, key: Key, own_name: str | None, experiments: bool) -> Caller:
    """Who makes a request, and the plan for it, if `experiments` hold for it."""
    gateway = gateway_of(request)
    try:
        client = gateway.clients.hash(key.name, own_name)
    except (OSError, EventsError) as error:
        gateway.events.lose(None, f"no client can be hashed: {error}")
        return Caller("", NOTHING, key.name)
    return Caller(client, gateway.running.plan(client) if experiments else NOTHING, key.name)


async def classify(
    gateway: Gateway, picture: Picture, version: str | None, caller: Caller, counts: bool = True
) -> Answered:
    """The answer to a picture by `version`, by the caller's arm, or by the default version. Raises `Problem`.

    The guard sees it if it `counts`: one picture of a request does.
    """
    experiment, arm = caller.plan
    watched = experiment if arm and counts else None
    asked, begun = version or arm, time.perf_counter()
    event = {"id": uuid.uuid4().hex, "experiment": experiment and experiment.name, "client": caller.client}
    digest = _Digest(picture.content)
    try:
        reply = await ask_picture(gateway, asked, picture, None, "", explain=False, key=caller.key)
        body = _body(reply)
    except Problem as problem:
        if arm and problem.status == 404:
            problem = Failure(f"the arm {arm} is not served; wait, and ask again")
        if isinstance(problem, Failure):
            latency = 1000 * (time.perf_counter() - begun)
            if watched and arm:
                gateway.guard.observe(watched, arm, True, latency)
            _put(gateway, event | _outcome(asked or "", problem.status, None, latency, await digest.hex()))
        raise problem from None
    except asyncio.CancelledError:  # the client gave up, at least as often for a slow arm as for a quick one
        latency = 1000 * (time.perf_counter() - begun)
        if watched and arm and latency >= GAVE_UP * watched.guard.latency_ms:
            gateway.guard.observe(watched, arm, False, math.inf)
        _put(gateway, event | _outcome(asked or "", GIVEN_UP, None, latency, await digest.hex()))
        raise
    latency = 1000 * (time.perf_counter() - begun)
    if watched and arm:
        gateway.guard.observe(watched, arm, False, latency)
    # Before the answer: feedback may come at once.
    event |= _outcome(body["entry"], 200, body, latency, await digest.hex())
    _put(gateway, event)
    names = experiment.shadows if experiment else ()
    return Answered({"id": event["id"]} | body, [_task(gateway, name, picture.content, event) for name in names])


async def ask_shadows(gateway: Gateway, answered: Iterable[Answered]) -> None:
    """Let shadows be asked what has been answered."""
    for one in answered:
        for task in one.shadows:
            gateway.shadows.add(task)


def _task(gateway: Gateway, version: str, content: bytes, seen: dict[str, Any]) -> Task:
    """What a shadow is to do behind a client's answer, whose event is `seen`."""

    def wanted() -> bool:
        now = gateway.running.experiment()
        return now is not None and now.name == seen["experiment"]

    return Task(lambda: _ask_shadow(gateway, version, content, seen), len(content), wanted)


async def _ask_shadow(gateway: Gateway, version: str, content: bytes, seen: dict[str, Any]) -> bool:
    """Ask a shadow what a client's answer, whose event is `seen`, was to; returns whether it answered.

    As with an arm, it is no failure of the version where its queue is full, or where no runtime answers: no event.
    """
    begun, body, status = time.perf_counter(), None, 503
    try:
        async with asyncio.timeout(SECONDS):
            reply = await gateway.backend.answer(Question(CLASSIFIER.model, version, content, KIND, unseen=True))
        status = reply.status
        if is_full(reply):
            return False
        if status == 404:  # it is not served: a failure, as with an arm
            status = 503
        body = _body(reply) if status == 200 else None
    except Unavailable:
        return False
    except Failure:
        status = 503
    except TimeoutError:
        pass
    except Exception as error:  # of any kind: it is the shadow's
        log.write(event="a shadow failed", version=version, error=repr(error)[:200])
    latency = 1000 * (time.perf_counter() - begun)
    own = {"id": uuid.uuid4().hex, "shadow_of": seen["id"]}
    row = seen | _outcome(version, status, body, latency, seen["picture"]) | own
    if await asyncio.to_thread(_is_kept, gateway.events, seen["id"]):
        _put(gateway, row)
    return body is not None


def _is_kept(events: Writer, answer: str) -> bool:
    """Whether an answer waits or is written. If not, its client was forgotten since, and so shall be its shadows."""
    if events.waits(answer):  # asked first: what is written meanwhile is in the database then
        return True
    try:
        return look_up(events, answer)[0]
    except (*UNREADABLE, OSError):
        return True


def _put(gateway: Gateway, event: dict[str, Any]) -> None:
    if event["client"]:
        gateway.events.put(ANSWERS, event)


def _outcome(arm: str, status: int, body: dict[str, Any] | None, latency: float, digest: str) -> dict[str, Any]:
    """The columns that say what came of it."""
    distance = body and body.get("distance")
    return {
        "time": time.time(),
        "arm": arm,
        "shadow_of": None,
        "status": status,
        "probabilities": body and [body["probabilities"][name] for name in CLASSES],
        "latency_ms": latency,
        "picture": digest,
        "distance": float(distance) if isinstance(distance, int | float) and math.isfinite(distance) else None,
    }


def _body(reply: Reply) -> dict[str, Any]:
    """A runtime's answer. Raises `Failure` where it is none."""
    try:
        body: dict[str, Any] = json.loads(reply.body)
        if not isinstance(body["entry"], str) or body["probabilities"].keys() != set(CLASSES):
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Failure("the runtime's answer is none; wait, and ask again") from None
    return body


class _Digest:
    """The sha256 of a picture's bytes; of a large one, it is computed while the runtime is asked."""

    def __init__(self, content: bytes) -> None:
        small = len(content) <= SMALL
        self._hash = hashlib.sha256(content) if small else None
        self._task = None if small else asyncio.create_task(asyncio.to_thread(hashlib.sha256, content))

    async def hex(self) -> str:
        """64 digits."""
        return (self._hash or await self._task).hexdigest()  # type: ignore[misc]
