"""Asking the runtime: in turn, for a limited time, for as long as the client is there."""

import asyncio
import json
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.backend import Question, Reply, Unavailable
from gateway.context import Gateway
from gateway.events.tables import GIVEN_UP
from gateway.pictures import CLASS, Picture
from gateway.problems import Failure, Problem, try_later
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving.limits import how_to_raise
from zoo.serving.rest.inference import GONE, hang_up

Result = TypeVar("Result")

SECONDS = 60
"""The time for an answer, waiting included."""
LONGEST_LABEL = 50
"""Letters of a class that are handed on."""
STATUSES = {400: 422, 404: 404, 406: 406, 413: 413, 501: 501}
"""Of the runtime's refusals, what they are here: it calls a picture that cannot be read a 400."""


async def ask(gateway: Gateway, question: Question) -> Reply:
    """The runtime's answer, a success. Raises `Problem`."""
    try:
        async with asyncio.timeout(SECONDS), gateway.turns.turn(f"{question.model}/{question.version}", question.key):
            reply = await gateway.backend.answer(question)
    except Unavailable as error:
        raise try_later(str(error)) from None
    except TimeoutError:
        raise Failure(f"no answer in {SECONDS} seconds; wait, and ask again") from None
    if reply.status == 200:
        return reply
    message = _field(reply, "message") or "it does not say why"
    if reply.status not in STATUSES:
        detail = f"the runtime failed ({reply.status}: {message}); wait, and ask again"
        raise try_later(detail) if is_full(reply) else Failure(detail)
    raise Problem(STATUSES[reply.status], not_served(question.version) if reply.status == 404 else message)


def not_served(name: str | None) -> str:
    """What is wrong where a version is asked that is not there, or none is there to answer (none)."""
    return f"no entry{f' {name!r}' if name else ''} is served; GET /v1/models lists those that are"


def is_full(reply: Reply) -> bool:
    """Whether a version refuses because its queue is full, which is no failure; it may also have no process left."""
    return reply.status == 503 and _field(reply, "type") != GONE


async def ask_picture(
    gateway: Gateway,
    version: str | None,
    picture: Picture,
    label: str | None,
    accept: str,
    explain: bool,
    key: str = "",
) -> Reply:
    """The answer to one picture; `label` is the class to explain. Raises `Problem`, and counts the picture."""
    body, kind, call = picture.content, "application/octet-stream", "explain" if explain else "classify"
    status = 500
    try:
        if picture.problem:
            raise picture.problem
        if label:
            body, kind = _form(body, str(label), gateway.settings.max_request_bytes)
        reply = await ask(gateway, Question(CLASSIFIER.model, version, body, kind, accept, explain, key=key))
        status = reply.status
        return reply
    except Problem as problem:
        status = problem.status
        raise
    except asyncio.CancelledError:
        status = GIVEN_UP
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


def _form(picture: bytes, label: str, most: int) -> tuple[bytes, str]:
    """A form with a picture and the class to explain, and its content type: base64 would need a third more bytes.

    Raises `Problem` (413) where it is larger than a runtime takes, `most` bytes.
    """
    boundary = secrets.token_hex(16)
    field = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    file = field % ("image", '; filename="picture"\r\nContent-Type: application/octet-stream')
    # No class has so long a name; of a longer one, the beginning is none, either.
    own = field % (CLASS, "") + label[:LONGEST_LABEL]
    parts = (own.encode(errors="replace"), b"\r\n", file.encode(), picture, f"\r\n--{boundary}--\r\n".encode())
    body = b"".join(parts)
    if len(body) > most:
        largest = most - len(body) + len(picture)
        detail = f"with a class, a picture has {largest:,} bytes at most, and not {len(picture):,}"
        raise Problem(413, f"{detail}; {how_to_raise(len(body))}")
    return body, f"multipart/form-data; boundary={boundary}"


def _field(reply: Reply, name: str) -> str:
    """A field of a runtime's error; empty where it has none."""
    try:
        return str(json.loads(reply.body)[name])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
