"""Tokens as TorchServe has them: one for each kind of call, in a file, renewed by a key that opens nothing else."""

import hmac
import json
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.serving.connection import INVALID_TOKEN
from zoo.serving.rest.errors import RequestError, refusal

KINDS = ("management", "inference")
API = "API"
"""The kind of the key that renews tokens; it does not expire."""
RENEWAL = "/token"
"""The path, on the port of management, that takes the API's key and no other."""
WRONG = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


class Tokens:
    """The tokens of one running server."""

    def __init__(self, file: Path, valid: timedelta) -> None:
        """Make new ones, each `valid` for so long, and write them into `file`, which nobody else can read."""
        self._file, self._valid = file, valid
        self._keys = {API: secrets.token_urlsafe()}
        self._expires: dict[str, datetime] = {}
        for kind in KINDS:
            self._draw(kind)
        self._write()

    def is_valid(self, kind: str, key: str) -> bool:
        """Whether `key` is the present one of its kind. Takes equally long for every wrong one."""
        same = hmac.compare_digest(key.encode(), self._keys[kind].encode())
        return same and (kind == API or datetime.now(UTC) < self._expires[kind])

    def renew(self, kind: str) -> None:
        """Write a new token of a kind into the file; the old one is void. Raises `RequestError` for other kinds."""
        if kind not in KINDS:
            raise RequestError(400, INVALID_TOKEN, WRONG)
        self._draw(kind)
        self._write()

    def _draw(self, kind: str) -> None:
        self._keys[kind] = secrets.token_urlsafe()
        self._expires[kind] = datetime.now(UTC) + self._valid

    def _write(self) -> None:
        content = {
            kind: {"key": self._keys[kind], "expiration time": self._expires[kind].isoformat().replace("+00:00", "Z")}
            for kind in KINDS
        }
        aside = self._file.with_name(f"{self._file.name}.part")
        aside.unlink(missing_ok=True)  # of a killed server; it could be anybody's to read
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content | {API: {"key": self._keys[API]}}, file, indent=2)
        aside.replace(self._file)


class TokenRequired:
    """An ASGI app that nobody reaches without a token of its kind, at whichever path."""

    def __init__(self, app: ASGIApp, tokens: Tokens, kind: str) -> None:
        self._app, self._tokens, self._kind = app, tokens, kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        kind = API if scope["path"] == RENEWAL and self._kind == "management" else self._kind
        scheme, _, key = Request(scope).headers.get("authorization", "").partition(" ")
        allowed = scheme.lower() == "bearer" and self._tokens.is_valid(kind, key)
        await (self._app if allowed else refusal(400, INVALID_TOKEN, WRONG))(scope, receive, send)
