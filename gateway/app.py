"""The app: all calls, and what is around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway import feedback, log, page, pages, v1, v2
from gateway.access import Access
from gateway.backend import Backend
from gateway.context import Gateway, gateway_of
from gateway.description import KEYED, METRICS
from gateway.events import clients
from gateway.keys import Key, Keys
from gateway.log import REQUEST_ID, RequestLog
from gateway.metrics import CONTENT_TYPE
from gateway.page.sign_in import write_token
from gateway.problems import HANDLED, answer
from gateway.settings import Settings
from lesions.labels import NOTICE

SENT_HEADERS = (
    "Authorization",
    "Content-Type",
    "Content-Encoding",
    REQUEST_ID,
    clients.HEADER,
    "Inference-Header-Content-Length",
)
"""What a page of another origin may send, beside what every page may."""
READ_HEADERS = (REQUEST_ID, "Retry-After", "WWW-Authenticate")
"""What it may read."""
ABOUT = f"Classifiers of dermatoscopic images, side by side. {NOTICE}"

router = APIRouter()


@router.get("/metrics", tags=["metrics"], response_class=Response, responses=KEYED | METRICS)
async def metrics(request: Request, key: Annotated[Key, Depends(Access("admin"))]) -> Response:
    """Counts and times, for Prometheus; needs a key with the scope `admin`."""
    return Response(gateway_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def start(settings: Settings, backend: Backend) -> ASGIApp:
    """The ASGI app of a new gateway, whose log and whose token for the page are in the server's folder."""
    log.configure(settings.folder)
    gateway = Gateway(settings, backend, Keys(settings.keys))
    write_token(settings.folder, gateway.page_token)
    return build(gateway)


def build(gateway: Gateway) -> ASGIApp:
    """The ASGI app of a gateway."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gateway.events.start()
        yield
        await gateway.close()

    app = FastAPI(
        title="Lesion Zoo",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # /metrics and the log have what is counted
    )
    app.state.gateway = gateway
    app.router.redirect_slashes = False
    for error in HANDLED:
        app.add_exception_handler(error, answer)
    for part in (v1.classify_calls, v1.router, feedback.router, v2.router, v2.health, router):
        app.include_router(part)
    pages.mount(app)
    page.mount(app, gateway)
    outer: ASGIApp = app
    if gateway.settings.origins:  # around the errors, too: a page must be able to read why it was refused
        outer = CORSMiddleware(
            app,
            allow_origins=gateway.settings.origins,
            allow_methods=("GET", "POST"),
            allow_headers=SENT_HEADERS,
            expose_headers=READ_HEADERS,
        )
    return RequestLog(outer, gateway.metrics)
