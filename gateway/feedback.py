"""Feedback: what a picture really showed, some time after the answer."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool

from gateway import body, description
from gateway.access import Access, inside
from gateway.context import gateway_of
from gateway.events.database import UNREADABLE
from gateway.events.lookup import look_up
from gateway.events.tables import FEEDBACK
from gateway.keys import Key
from gateway.problems import Problem, try_later
from lesions.labels import CLASSES

router = APIRouter(prefix="/v1", tags=["v1"], responses=description.KEYED)
LARGEST = 10_000
"""Bytes of a body."""


class Feedback(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """The answer's."""
    label: str
    """The class that it really was."""


class Accepted(BaseModel):
    """What counts now. It is written within a second."""

    id: str
    label: str
    before: str | None
    """The label that counted until now; null if this is the first."""
    kind: Literal["first", "same", "other"]
    """Whether this is the first feedback to the answer, the same label again, or another one."""


@router.post("/feedback", status_code=202, openapi_extra=description.FEEDBACK, responses=description.BODY)
@inside
async def feedback(request: Request, key: Annotated[Key, Depends(Access("feedback"))]) -> Accepted:
    """What a picture really showed, by the id of an answer. Of several for one answer, the last counts."""
    gateway = gateway_of(request)
    content = await body.read(request, LARGEST)
    try:
        sent = Feedback.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise Problem(400, "the body is not JSON") from None
        raise Problem(422, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None
    if sent.label not in CLASSES:
        raise Problem(422, f"label: {sent.label!r:.60} is none of {', '.join(CLASSES)}")
    events = gateway.events
    waiting = events.waits(sent.id)  # asked first: what is written meanwhile is in the database then
    labels = events.waiting_labels(sent.id)
    try:
        known, before = (True, labels[-1]) if labels else await run_in_threadpool(look_up, events, sent.id)
    except (*UNREADABLE, OSError):
        if not waiting:
            raise try_later("the events cannot be read now; send it again later", 10) from None
        known, before = True, None
    if not (known or waiting):
        raise Problem(404, f"no answer has the id {sent.id}, or it is too old")
    kind: Literal["first", "same", "other"]
    kind = "first" if before is None else "same" if before == sent.label else "other"
    values = {"answer": sent.id, "time": time.time(), "label": sent.label, "key": key.name}
    if not events.put(FEEDBACK, values):
        raise try_later("too many events wait for their database; send it again later", 10)
    gateway.metrics.feedback.labels(kind).inc()
    return Accepted(id=sent.id, label=sent.label, before=before, kind=kind)
