"""What is written of a request: an id, a line of JSON, and the metrics; never a picture or a key."""

import json
import logging
import logging.handlers
import re
import time
import traceback
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.metrics import Metrics

FILE = "gateway.log"
"""In the server's folder."""
LARGEST, OLDER = 10_000_000, 3
"""Bytes of a log, and how many full ones are kept beside it."""
REQUEST_ID = "X-Request-Id"
ALLOWED_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LOGGER = logging.getLogger("gateway")
_INSIDE = ContextVar("inside", default=False)
"""Whether it is a request of the gateway's that is answered now."""


def configure(folder: Path) -> None:
    """Let the gateway's lines go into a file in the server's folder, and nowhere else."""
    handler = logging.handlers.RotatingFileHandler(folder / FILE, maxBytes=LARGEST, backupCount=OLDER)
    LOGGER.handlers[:], LOGGER.propagate = [handler], False
    LOGGER.setLevel(logging.INFO)
    # A runtime in the same process has a log of its port; a second line there might have a key in its query.
    logging.getLogger("uvicorn.access").addFilter(lambda _: not _INSIDE.get())


def write(level: int = logging.INFO, **fields: object) -> None:
    """Write a line."""
    LOGGER.log(level, json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | fields))


class RequestLog:
    """An ASGI app around another one: gives each request an id, logs it, and counts it by status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, received, failure = time.perf_counter(), 0, 0, None
        asked = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = asked if ALLOWED_ID.fullmatch(asked) else uuid.uuid4().hex
        _INSIDE.set(True)  # a request is a task, which has a context of its own
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            with self._metrics.inside.track_inprogress():
                await self._app(scope, counting, noting)
        except Exception:  # it has been answered: what is left of it is for the log
            failure = traceback.format_exc()
        finally:
            seconds, route = time.perf_counter() - begun, getattr(scope.get("route"), "path", "")
            self._metrics.count(route, status, seconds)
            write(
                logging.ERROR if failure else logging.INFO,
                request_id=request_id,
                method=scope["method"],
                path=scope["path"][:200],
                status=status,
                milliseconds=round(1000 * seconds, 1),
                key=state.get("key"),
                pictures=state.get("pictures"),
                bytes=received,
                client=(scope.get("client") or ("",))[0],
                **({"error": failure} if failure else {}),
            )
