"""The calls of the first port: predictions and explanations."""

import asyncio
import json
import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from zoo.serving.limits import how_to_raise
from zoo.serving.rest.errors import RequestError
from zoo.serving.rest.metrics import Metrics
from zoo.serving.rest.versions import Version, Versions
from zoo.serving.rest.worker import JSON, MOST_WAITING, Busy, Unavailable
from zoo.serving.service import REASONS

Result = TypeVar("Result")

SECONDS = 60
"""The time for an answer, waiting included: responseTimeout of an archive."""
GONE = "VersionUnavailableException"
"""The type of the error where a version has no process left; a full queue is another one."""
BODY_SECONDS = 60
"""The time in which a body must have arrived."""


class Inference:
    """Answers requests to versions by their workers."""

    def __init__(self, versions: Versions, metrics: Metrics, largest: int) -> None:
        """`largest` is the most bytes of a body."""
        self._versions, self._metrics, self._largest = versions, metrics, largest
        self.routes = [Route("/ping", self._ping)]
        for path, call in (("predictions", self._predict), ("explanations", self._explain)):
            for version in ("", "/{version}"):
                self.routes.append(Route(f"/{path}/{{model}}{version}", call, methods=["POST", "PUT"]))

    async def answer(
        self,
        model: str,
        version: str | None,
        content: bytes,
        headers: Mapping[str, str],
        explain: bool,
        unseen: bool = False,
    ) -> Response:
        """The answer to a body with its headers, by name in lower case; nobody waits for an `unseen` one.

        For a front in the same process, which sees to the time and to clients that hang up. Raises `RequestError`.
        """
        found = self._versions.find(model, version)
        _check_size(len(content), self._largest)
        return await self._ask(found, content, headers, explain, unseen)

    async def _ping(self, _: Request) -> Response:
        return Response(json.dumps({"status": "Healthy"}), media_type=JSON)

    async def _predict(self, request: Request) -> Response:
        return await self._answer(request, explain=False)

    async def _explain(self, request: Request) -> Response:
        return await self._answer(request, explain=True)

    async def _answer(self, request: Request, explain: bool) -> Response:
        version = self._versions.find(request.path_params["model"], request.path_params.get("version"))
        if request.query_params:
            name = next(iter(request.query_params))
            raise RequestError(400, "BadRequest", f"{name!r:.60} in the URL is not read; send it in the body")
        content = await _body(request, self._largest)
        work = self._ask(version, content, dict(request.headers), explain, unseen=False)
        return await _while_connected(request, work)

    async def _ask(
        self, version: Version, content: bytes, headers: Mapping[str, str], explain: bool, unseen: bool
    ) -> Response:
        began = time.perf_counter()
        try:
            sent = await version.worker.answer(content, headers, explain, unseen)
        except Busy:
            raise _later(f"{MOST_WAITING} requests wait for {version.name} already; wait, and ask again") from None
        except Unavailable as error:
            message = f"{version.name} does not answer at present ({error}); wait, and ask again"
            raise RequestError(503, GONE, message) from None
        took = time.perf_counter() - began
        self._metrics.count(version, took, max(0.0, took - sent.seconds))
        return Response(sent.content, sent.status, media_type=sent.media_type)


async def _body(request: Request, largest: int) -> bytes:
    """The body. Raises `RequestError`: too late, or as soon as it is known to be too large, without the rest."""
    _check_size(int(request.headers.get("content-length", 0)), largest)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > largest:
                    raise _too_large(f"more bytes than the server takes, {largest:,}; {how_to_raise(2 * largest)}")
    except TimeoutError:
        raise RequestError(408, "RequestTimeout", f"the body did not arrive in {BODY_SECONDS} seconds") from None
    return b"".join(parts)


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise _too_large(f"{size:,} bytes are more than the server takes, {largest:,}; {how_to_raise(size)}")


def _too_large(message: str) -> RequestError:
    return RequestError(413, REASONS[413].replace(" ", ""), message)


def _later(message: str) -> RequestError:
    return RequestError(503, "ServiceUnavailableException", message)


async def _while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """The result of `work`, which is cancelled when the client hangs up, or the time is over.

    Raises `ClientDisconnect`, or `RequestError`.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up(request))
    try:
        await asyncio.wait((working, gone), timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if gone.done():
            raise ClientDisconnect
        raise _later(f"no answer in {SECONDS} seconds; wait, and ask again")
    finally:
        working.cancel()
        gone.cancel()


async def hang_up(request: Request) -> None:
    """Return when the client has hung up. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
