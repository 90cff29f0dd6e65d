"""The ASGI app: a set of calls for each port, as TorchServe has them."""

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.serving.rest.errors import HANDLERS
from zoo.serving.rest.inference import Inference
from zoo.serving.rest.management import Management
from zoo.serving.rest.metrics import Metrics
from zoo.serving.rest.tokens import TokenRequired, Tokens
from zoo.serving.rest.versions import Versions


class App:
    """All calls; the port at which one arrives decides what it may ask for."""

    def __init__(self, versions: Versions, tokens: Tokens, port: int, largest: int) -> None:
        """`port` is that of inference; `largest` is the most bytes of a request."""
        metrics = Metrics()
        self.inference = Inference(versions, metrics, largest)
        """Predictions and explanations without a token, for a front in the same process."""
        management = _calls(Management(versions, tokens).routes)
        self._front: ASGIApp | None = None
        self._apps: dict[int, ASGIApp] = {
            port: TokenRequired(_calls(self.inference.routes), tokens, "inference"),
            port + 1: TokenRequired(management, tokens, "management"),
            port + 2: _calls(metrics.routes),
        }

    def add(self, port: int, app: ASGIApp) -> None:
        """Let another app answer what arrives at another port; it gets the events of start and end, too."""
        self._apps[port] = self._front = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or begin or end."""
        if scope["type"] == "lifespan":
            if self._front:
                await self._front(scope, receive, send)
            return
        await self._apps[scope["server"][1]](scope, receive, send)


def _calls(routes: list[Route]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return app
