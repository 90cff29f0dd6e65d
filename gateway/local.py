"""The gateway in the process of the runtime `local` (`zoo.serving.runtime.Front`)."""

from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from gateway.app import start
from gateway.rest import RestBackend
from gateway.settings import Settings


def app(inner: ASGIApp, folder: Path, options: dict[str, Any]) -> ASGIApp:
    """The gateway before `inner`, the runtime's app, which it calls without a network."""
    settings = Settings.model_validate(options)
    transport = httpx.ASGITransport(inner, raise_app_exceptions=False)
    return start(settings, RestBackend(folder, settings.runtime_port, transport))
