"""The gateway in the process of the runtime `local` (`zoo.serving.runtime.Front`)."""

from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from gateway import log
from gateway.app import build
from gateway.context import Gateway
from gateway.keys import Keys
from gateway.rest import RestBackend
from gateway.settings import Settings


def app(inner: ASGIApp, folder: Path, options: dict[str, Any]) -> ASGIApp:
    """The gateway before `inner`, the runtime's app, which it calls without a network."""
    settings = Settings.model_validate(options)
    log.configure(folder)
    transport = httpx.ASGITransport(inner, raise_app_exceptions=False)
    return build(Gateway(settings, RestBackend(folder, settings.runtime_port, transport), Keys(settings.keys)))
