"""The process that hosts the app: what `server.json` in its folder says is served, until a signal comes."""

import gc
import json
import logging.config
import socket
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn

from lesions.files import atomic_write
from zoo.serving.connection import KEY_FILE
from zoo.serving.rest.app import App
from zoo.serving.rest.connections import UVICORN, allow_many
from zoo.serving.rest.process import ACCESS_LOG, LOG, LOGS, PORTS, READY
from zoo.serving.rest.tokens import Tokens
from zoo.serving.rest.versions import Versions
from zoo.serving.runtime import LOOPBACK, STATE, Front

Note = Callable[[str, str], None]
"""Called with the name of each version as soon as it has answered, with "", or with why it cannot be served."""
GRACE = 1
"""Seconds that requests have to end in when a signal has come."""
LARGEST_LOG, OLDER = 10_000_000, 3
"""Bytes of a log, and how many full ones are kept beside it."""


def serve(folder: Path, open_all: Callable[[dict[str, Any], Note], Versions]) -> None:
    """Open the versions, say in `READY` which cannot be served, and serve the others.

    `open_all` gets what `STATE` says, and calls what it is given for each version.
    """
    state = read_state(folder)
    logging.config.dictConfig(_logging(folder / LOGS))
    port = state["port"]
    # Bound at once, so that a port on which another program listens is an error now; uvicorn listens when there is
    # somebody to answer.
    sockets = [_bind(state["host"] if number == 0 else LOOPBACK, port + number) for number in range(len(PORTS))]
    front = Front(**state["front"]) if state["front"] else None
    if front:
        sockets.append(_bind(front.host, front.port))
    outcomes: dict[str, str] = {}

    def note(name: str, problem: str) -> None:
        outcomes[name] = problem
        atomic_write(folder / READY, json.dumps(outcomes))
        logging.getLogger("uvicorn.error").info("%s: %s", name, problem or "ready")

    tokens = Tokens(folder / KEY_FILE, timedelta(minutes=state["token_minutes"]))
    app = App(open_all(state, note), tokens, port, state["max_request_bytes"])
    if front:  # by its name: the zoo knows of nothing before it
        app.add(front.port, import_module(front.module).app(app, folder, front.options))
    allow_many()
    gc.freeze()  # what is there now stays: no collection need look at it again
    config = uvicorn.Config(
        app,
        **UVICORN,
        lifespan="on" if front else "off",  # the front may have something to write down in the end
        log_config=None,
        timeout_graceful_shutdown=GRACE,
    )
    # After its grace it raises the signal once more, which ends the process, even if its threads do not.
    uvicorn.Server(config).run(sockets)


def read_state(folder: Path) -> dict[str, Any]:
    """What the server of `folder` is started with."""
    state: dict[str, Any] = json.loads((folder / STATE).read_bytes())
    return state


def _bind(host: str, port: int) -> socket.socket:
    # By its protocol asyncio knows that it may turn Nagle's algorithm off, which delays every other answer by 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


def _logging(folder: Path) -> dict[str, Any]:
    """Every log has its file, which grows no further than `LARGEST_LOG`; so nothing is left for the console."""
    handlers = {
        name: {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": folder / file,
            "maxBytes": LARGEST_LOG,
            "backupCount": OLDER,
            "formatter": "line",
        }
        for name, file in (("log", LOG), ("access", ACCESS_LOG))
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s [%(levelname)-5s] %(message)s"}},
        "handlers": handlers,
        "loggers": {"uvicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False}},
        "root": {"level": "INFO", "handlers": ["log"]},
    }
