"""The gateway in the process of a runtime that hosts it (`zoo.serving.runtime.Front`)."""

import traceback
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from gateway import log
from gateway.app import start
from gateway.backend import Question, Reply
from gateway.rest import RestBackend
from gateway.settings import Settings
from zoo.serving.rest.app import App
from zoo.serving.rest.errors import RequestError, failure, refusal
from zoo.serving.rest.worker import JSON


def app(inner: App, folder: Path, options: dict[str, Any]) -> ASGIApp:
    """The gateway before `inner`, the runtime's app, which it calls without a network."""
    settings = Settings.model_validate(options)
    return start(settings, InsideBackend(inner, folder, settings.runtime_port))


class InsideBackend(RestBackend):
    """The runtime in the same process: asked without HTTP and tokens, which took half of the time."""

    def __init__(self, inner: App, folder: Path, port: int) -> None:
        """`port` is that of the runtime's inference."""
        super().__init__(folder, port, httpx.ASGITransport(inner, raise_app_exceptions=False))
        self._inside = inner.inference

    async def answer(self, question: Question) -> Reply:
        """The runtime's answer, which may be an error."""
        headers = {"content-type": question.content_type, "accept": question.accept or JSON}
        model, version, body = question.model, question.version, question.body
        try:
            response = await self._inside.answer(model, version, body, headers, question.explain, question.unseen)
        except RequestError as error:
            response = refusal(error.status, error.kind, str(error))
        except Exception:
            log.write(event="the runtime failed", version=version, error=traceback.format_exc())
            response = failure()
        return Reply(response.status_code, response.media_type or "", bytes(response.body))
