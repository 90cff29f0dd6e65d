"""Error answers: problem details (RFC 9457), whatever went wrong."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.backend import Unavailable

MEDIA_TYPE = "application/problem+json"
OPEN_INFERENCE = "/v2"
"""The paths of the Open Inference Protocol, whose clients look for a key `error`."""
PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Reason phrases of RFC 9110; older Pythons know other ones."""
PAUSE = 1
"""Seconds after which a client may ask again, where nothing better is known."""


class ProblemBody(BaseModel):
    """An error answer."""

    type: str = "about:blank"
    """That the status says it all."""
    title: str
    """The reason phrase of the status."""
    status: int
    detail: str
    """What was wrong, and what to do."""
    request_id: str | None = None
    """As in the header X-Request-Id, and in the log."""
    error: str | None = None
    """The same as `detail`, below /v2 alone."""


class Problem(Exception):
    """A request, or one picture of it, that cannot be answered; `str()` says why, for the person who sent it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, dict(headers or {})

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem as JSON."""
        title = PHRASES.get(self.status, HTTPStatus(self.status).phrase)
        body = ProblemBody(title=title, status=self.status, detail=str(self), request_id=request_id)
        return body.model_dump(exclude_none=True)


class Failure(Problem):
    """A version that failed by itself: it did not answer in time, or what it answers is none of the client's doing."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, {"Retry-After": str(PAUSE)})


def try_later(detail: str, seconds: int = PAUSE, status: int = 503) -> Problem:
    """A problem that passes: the client may ask again after so many seconds."""
    return Problem(status, detail, {"Retry-After": str(seconds)})


def answer(request: Request, error: Exception) -> Response:
    """The answer to a request that ended in an error."""
    problem = _problem(request, error)
    body = problem.body(request.scope.get("state", {}).get("request_id"))
    if request.url.path.startswith(OPEN_INFERENCE):
        body["error"] = body["detail"]
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):  # the router's: no such path, or no such method of it
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"no such call: {request.url.path:.200}" if error.status_code == 404 else f"the method is {allowed}"
        return Problem(error.status_code, detail, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        if first["loc"][0] == "path":
            return Problem(
                404, f"{first['input']!s:.60} is no name of an entry; GET /v1/models lists those that are served"
            )
        return Problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    if isinstance(error, Unavailable):
        return try_later(str(error))
    if isinstance(error, ClientDisconnect):
        return Problem(400, "the client hung up")  # to nobody
    return Problem(500, "the gateway failed at this request; its log says why: make logs")


HANDLED = (Problem, HTTPException, RequestValidationError, Unavailable, ClientDisconnect, Exception)
"""The errors that `answer` turns into answers. Of the last, the log has a traceback."""
