"""The gateway in the process of a runtime that hosts it (`zoo.serving.runtime.Front`)."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Scope

from gateway.app import start
from gateway.backend import Question, Reply, Unavailable
from gateway.rest import RestBackend
from gateway.settings import Settings
from zoo.serving.rest.app import App
from zoo.serving.runtime import LOOPBACK


def app(inner: App, folder: Path, options: dict[str, Any]) -> ASGIApp:
    """The gateway before `inner`, the runtime's app, which it calls without a network."""
    settings = Settings.model_validate(options)
    return start(settings, InsideBackend(inner, folder, settings.runtime_port))


class InsideBackend(RestBackend):
    """The runtime in the same process: asked for answers as an app, since HTTP and tokens took half of the time."""

    def __init__(self, inner: App, folder: Path, port: int) -> None:
        """`port` is that of the runtime's inference."""
        super().__init__(folder, port, httpx.ASGITransport(inner, raise_app_exceptions=False))
        self._seen, self._unseen, self._server = inner.inference, inner.unseen, (LOOPBACK, port)

    async def answer(self, question: Question) -> Reply:
        """The runtime's answer, which may be an error. Raises `Unavailable`."""
        path, body = f"/{question.path}", question.body
        headers = {
            "content-type": question.content_type,
            "accept": question.accept or "application/json",
            "content-length": len(body),
        }
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), str(value).encode("latin-1", "replace")) for name, value in headers.items()],
            "client": None,
            "server": self._server,
        }
        arrives: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if arrives:
                return arrives.pop()
            await asyncio.Event().wait()  # this client does not hang up: it cancels
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            await (self._unseen if question.unseen else self._seen)(scope, receive, send)
        except Exception:  # its log has it, and its answer is there: a 500
            if not sent:
                raise Unavailable("the runtime failed; wait, and ask again") from None
        kinds = dict(sent[0]["headers"])
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], kinds.get(b"content-type", b"").decode("latin-1"), content)
