"""Signing in: a link with a token sets a cookie, as Jupyter's does. Without the cookie nothing answers."""

import asyncio
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.body import in_time
from gateway.problems import Problem
from zoo.serving.limits import how_to_raise
from zoo.serving.runtime import LOOPBACK

FILE = "page_token"
"""In the server's folder, mode 600: the token of this start."""
SIGN_IN = (Path(__file__).parent / "files" / "sign_in.html").read_text(encoding="utf-8")
"""What is shown to who has not signed in."""
OPEN, MANIFEST = "/manifest.json", {"name": "Lesion Zoo", "start_url": "./", "display": "standalone"}
"""Browsers ask for it without cookies, and so it is answered without the page."""
HOW = "sign in with the link that `make serve` prints"
AROUND = 100_000
"""Bytes of a call beside the picture."""
HEADERS = {
    # Gradio's page has scripts in its HTML, and compiles templates.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: a browser gets nothing from elsewhere, and shows the page in no other one."""


def write_token(folder: Path, token: str) -> None:
    """Write the token where only the server's user can read it."""
    aside = folder / f"{FILE}.part"
    aside.unlink(missing_ok=True)  # of a killed server; it could be anybody's to read
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    aside.replace(folder / FILE)


def link(folder: Path, port: int) -> str:
    """The link that signs in to the page of a running gateway."""
    return f"http://{LOOPBACK}:{port}/?token={(folder / FILE).read_text(encoding='ascii')}"


class SignIn:
    """An ASGI app before the page's."""

    def __init__(self, build: Callable[[], ASGIApp], token: str, port: int, largest: int) -> None:
        """`build` makes the page's app, once it is needed; `largest` is the most bytes of a picture."""
        self._build, self._token, self._largest = build, token, largest
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()
        self._cookie = f"lesion_zoo_{port}"  # browsers send a cookie to every port of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on. Raises `Problem`: 401, 403, 408, 411, 413."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if answer := self._answer(Request(scope)):  # without the body, which may be anybody's
            await answer(scope, receive, with_headers)
        else:
            page = await self._page()
            await page(scope, await _in_time(scope, receive), with_headers)

    async def _page(self) -> ASGIApp:
        async with self._lock:
            if self._app is None:
                self._app = await run_in_threadpool(self._build)  # other calls are answered meanwhile
            return self._app

    def _answer(self, request: Request) -> Response | None:
        """What is answered here; none where the page answers."""
        if request.url.path == OPEN and request.method in ("GET", "HEAD"):
            return JSONResponse(MANIFEST, media_type="application/manifest+json")
        is_page, token = request.url.path == "/", request.query_params.get("token")
        if is_page and token is not None and self._is_valid(token):
            answer = RedirectResponse("./", 303, {"Cache-Control": "no-store"})
            secure = request.url.scheme == "https"
            answer.set_cookie(self._cookie, token, httponly=True, samesite="strict", secure=secure)
            return answer
        if not self._is_valid(request.cookies.get(self._cookie, "")):
            if is_page:
                return HTMLResponse(SIGN_IN, 401, {"Cache-Control": "no-store"})
            raise Problem(401, HOW)
        if not (is_page and request.method in ("GET", "HEAD")) and not _is_own(request):
            raise Problem(403, "this is for the page alone; other pages send an API key to /v1")
        self._check_size(request)
        return None

    def _is_valid(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _check_size(self, request: Request) -> None:
        if "transfer-encoding" in request.headers:
            raise Problem(411, "say how long the body is")
        size = int(request.headers.get("content-length", "0"))
        if size > self._largest * 4 / 3 + AROUND:  # base64 has four letters for three bytes
            raise Problem(413, f"more than {self._largest:,} bytes; {how_to_raise(self._largest * 2)}")


async def _in_time(scope: Scope, receive: Receive) -> Receive:
    """The same messages, of which the body has come. Raises `Problem` (408)."""
    async with in_time():
        body = await Request(scope, receive).body()
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return whole.pop() if whole else await receive()

    return receive_again


def _is_own(request: Request) -> bool:
    """Whether the page itself asks. A page at another port of this machine would have the cookie, too."""
    if site := request.headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")  # all that a browser says where there is no TLS
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
