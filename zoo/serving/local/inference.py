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
from zoo.serving.local.errors import JSON, RequestError
from zoo.serving.local.forms import FormError, parse
from zoo.serving.local.metrics import Metrics
from zoo.serving.local.versions import Version, Versions
from zoo.serving.local.workers import MOST_WAITING, Busy, Workers
from zoo.serving.service import PNG, REASONS, Answer, refuse

Result = TypeVar("Result")

SECONDS = 60
"""The time for an answer, waiting included: responseTimeout of an archive."""


class Inference:
    """Answers requests to versions in threads of their models."""

    def __init__(self, versions: Versions, workers: Mapping[str, Workers], metrics: Metrics, largest: int) -> None:
        """`workers` are the threads of each model; `largest` is the most bytes of a body."""
        self._versions, self._workers, self._metrics, self._largest = versions, workers, metrics, largest
        self.routes = [Route("/ping", self._ping)]
        for path, call in (("predictions", self._predict), ("explanations", self._explain)):
            for version in ("", "/{version}"):
                self.routes.append(Route(f"/{path}/{{model}}{version}", call, methods=["POST", "PUT"]))

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
        headers = dict(request.headers)
        begun = started = time.perf_counter()

        def work() -> Response:
            nonlocal started
            started = time.perf_counter()
            return _answered(version, content, headers, explain)

        try:
            response = await _while_connected(request, self._workers[version.model].run(version, work))
        except Busy:
            message = f"{MOST_WAITING} requests wait for {version.name} already; wait, and ask again"
            raise RequestError(503, "ServiceUnavailableException", message) from None
        self._metrics.count(version, time.perf_counter() - begun, started - begun)
        return response


def _answered(version: Version, content: bytes, headers: Mapping[str, str], explain: bool) -> Response:
    """The answer, as JSON or PNG. All that takes time is done here, in a thread."""
    answer: Answer
    try:
        [answer] = version.service.answer([parse(content, headers, explain)])
    except FormError as error:
        answer = refuse(400, str(error))
    if answer.png is not None:
        return Response(answer.png, answer.status, media_type=PNG)
    return Response(json.dumps(answer.body, allow_nan=False).encode(), answer.status, media_type=JSON)


async def _body(request: Request, largest: int) -> bytes:
    """The body. Raises `RequestError` as soon as it is known to be too large, without reading the rest."""
    declared = int(request.headers.get("content-length", 0))
    if declared > largest:
        raise _too_large(f"{declared:,} bytes are more than the server takes, {largest:,}; {how_to_raise(declared)}")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > largest:
            raise _too_large(f"more bytes than the server takes, {largest:,}; {how_to_raise(2 * largest)}")
    return bytes(content)


def _too_large(message: str) -> RequestError:
    return RequestError(413, REASONS[413].replace(" ", ""), message)


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
        message = f"no answer in {SECONDS} seconds; wait, and ask again"
        raise RequestError(503, "ServiceUnavailableException", message)
    finally:
        working.cancel()
        gone.cancel()


async def hang_up(request: Request) -> None:
    """Return when the client has hung up. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
