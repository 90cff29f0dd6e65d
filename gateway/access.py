"""Who may make a call: by its API key, as `Authorization: Bearer KEY`."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase

from gateway.context import gateway_of
from gateway.keys import ApiKeyError, Key, Scope
from gateway.problems import Problem, try_later

BEARER = HTTPBearer(auto_error=False, description="An API key: `make key NAME=phone` prints one.")
Result = TypeVar("Result")


class Access(SecurityBase):
    """A dependency: the caller's key, which has `scope` if one is given, and has not asked too often."""

    model, scheme_name = BEARER.model, BEARER.scheme_name  # for /openapi.json

    def __init__(self, scope: Scope | None) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> Key:
        """The key of a request. Raises `Problem`: 401, 403, 429, 503."""
        gateway, credentials = gateway_of(request), await BEARER(request)
        try:
            key = gateway.keys.find(credentials.credentials) if credentials else None
        except ApiKeyError:
            raise try_later("the gateway cannot read its API keys: make keys says why", 60) from None
        if key is None:
            # RFC 6750, section 3: no error code where nothing was sent.
            error = ', error="invalid_token"' if credentials else ""
            detail = "this API key is not valid" if credentials else "send an API key: Authorization: Bearer KEY"
            raise Problem(401, detail, {"WWW-Authenticate": f'Bearer realm="lesion-zoo"{error}'})
        request.state.key = key.name
        if self._scope and self._scope not in key.scopes:
            challenge = f'Bearer realm="lesion-zoo", error="insufficient_scope", scope="{self._scope}"'
            detail = f"this key may {', '.join(key.scopes)}, and not {self._scope}"
            raise Problem(403, detail, {"WWW-Authenticate": challenge})
        gateway.rates.count(key)
        return key


def inside(call: Callable[..., Awaitable[Result]]) -> Callable[..., Awaitable[Result]]:
    """A call that has one of the places inside before it reads its body. Raises `Problem` (503) where none is free."""

    # No dependency that yields: FastAPI takes a quarter of a millisecond for one.
    @wraps(call)
    async def in_turn(request: Request, **arguments: Any) -> Result:
        async with gateway_of(request).bodies.turn(""):
            return await call(request=request, **arguments)

    return in_turn
