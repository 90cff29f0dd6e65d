"""Refusals of the server itself, with TorchServe's types and messages where a client could tell the two apart."""

import json

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from zoo.serving.rest.worker import JSON

NOT_FOUND = ("ResourceNotFoundException", "Requested resource is not found, please refer to API document.")
NOT_ALLOWED = ("MethodNotAllowedException", "Requested method is not allowed, please refer to API document.")


class RequestError(Exception):
    """A request that cannot be answered."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        """`kind` is the body's "type"."""
        super().__init__(message)
        self.status, self.kind = status, kind


def refusal(status: int, kind: str, message: str) -> Response:
    """A refusal: its body has code, type and message. One that passes says when to ask again."""
    body = json.dumps({"code": status, "type": kind, "message": message})
    return Response(body, status, {"Retry-After": "1"} if status == 503 else None, JSON)


def failure() -> Response:
    """The answer where the server itself failed."""
    return refusal(500, "InternalServerException", "the server failed at this request; its log says why: make logs")


def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, RequestError):
        return refusal(error.status, error.kind, str(error))
    if isinstance(error, HTTPException):  # the router's: no such path, or no such method of it
        return refusal(error.status_code, *(NOT_ALLOWED if error.status_code == 405 else NOT_FOUND))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # to nobody
    return failure()


HANDLERS: dict[type[Exception] | int, ExceptionHandler] = dict.fromkeys(
    (RequestError, HTTPException, ClientDisconnect, Exception), _refuse
)
"""For `Starlette(exception_handlers=...)`. What is none of the first three is also logged, with its traceback."""
