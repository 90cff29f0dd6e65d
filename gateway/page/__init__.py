"""The page: a picture in; answers, explanations, synthetic lesions and model cards to look at. It needs no API key."""

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.context import Gateway
from gateway.page.sign_in import SignIn

PATHS = (
    "/",
    "/assets/{path:path}",
    "/static/{path:path}",
    "/favicon.ico",
    "/manifest.json",
    "/theme.css",
    "/gradio_api/run/{call}",
)
"""What the page needs of Gradio. It has many more: files, uploads, proxies. They do not exist here."""


def mount(app: FastAPI, gateway: Gateway) -> None:
    """Add the page to an app, at `/`."""

    def build() -> ASGIApp:
        from gateway.page.app import build  # here: it takes seconds and 130 MB, and few gateways show their page

        return build(gateway)

    page = SignIn(build, gateway.page_token, gateway.settings.port, gateway.settings.max_request_bytes)
    app.router.routes.extend(Route(path, page, include_in_schema=False) for path in PATHS)
