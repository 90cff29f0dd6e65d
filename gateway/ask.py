"""Asking the runtime: in turn, for a limited time, for as long as the client is there."""

import asyncio
import base64
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.backend import Question, Reply, Unavailable
from gateway.context import Gateway
from gateway.pictures import CLASS, Picture
from gateway.problems import Failure, Problem, try_later
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving.rest.inference import hang_up

Result = TypeVar("Result")

SECONDS = 60
"""The time for an answer, waiting included."""
STATUSES = {400: 422, 404: 404, 406: 406, 413: 413, 501: 501}
"""Of the runtime's refusals, what they are here: it calls a picture that cannot be read a 400."""


async def ask(gateway: Gateway, question: Question) -> Reply:
    """The runtime's answer, a success. Raises `Problem`."""
    try:
        async with asyncio.timeout(SECONDS), gateway.turns.turn(f"{question.model}/{question.version}"):
            reply = await gateway.backend.answer(question)
    except Unavailable as error:
        raise try_later(str(error)) from None
    except TimeoutError:
        raise Failure(f"no answer in {SECONDS} seconds; wait, and ask again") from None
    if reply.status == 200:
        return reply
    message = _message(reply)
    if reply.status not in STATUSES:
        detail = f"the runtime failed ({reply.status}: {message}); wait, and ask again"
        raise try_later(detail) if reply.status == 503 else Failure(detail)  # 503: its queue is full
    raise Problem(STATUSES[reply.status], message)


async def ask_picture(
    gateway: Gateway, version: str | None, picture: Picture, label: str | None, accept: str, explain: bool
) -> Reply:
    """The answer to one picture; `label` is the class to explain. Raises `Problem`, and counts the picture."""
    body, kind, call = picture.content, "application/octet-stream", "explain" if explain else "classify"
    if label:
        body, kind = json.dumps({"image": base64.b64encode(body).decode(), CLASS: label}).encode(), "application/json"
    status = 200
    try:
        if picture.problem:
            raise picture.problem
        return await ask(gateway, Question(CLASSIFIER.model, version, body, kind, accept, explain))
    except Problem as problem:
        status = problem.status
        raise
    finally:
        gateway.metrics.pictures.labels(call, str(status)).inc()


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client hangs up. The body must have been read.

    Raises `ClientDisconnect`, and what `work` raises.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


def _message(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return "it does not say why"
