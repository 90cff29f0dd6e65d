"""What all calls of one gateway share."""

import asyncio
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.backend import Backend
from gateway.events.clients import Clients
from gateway.events.database import sqlite_url
from gateway.events.writer import Writer
from gateway.experiments.files import FOLDER
from gateway.experiments.guard import Guard
from gateway.experiments.running import Running
from gateway.experiments.shadows import Shadows
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.rates import Rates
from gateway.settings import Settings
from gateway.turns import Turns

AT_ONCE, WAITING = 16, 64
"""Requests that a version is asked at a time, and that wait for it."""
MOST_INSIDE = 256
"""Requests with a body that are inside at a time: each may hold as much memory as a body has bytes, and more."""

FLUSH = 4
"""Seconds in which events that wait must be written at the end."""


@dataclass
class Gateway:
    """One gateway."""

    settings: Settings
    backend: Backend
    keys: Keys
    turns: Turns = field(default_factory=lambda: Turns(AT_ONCE, WAITING))
    bodies: Turns = field(default_factory=lambda: Turns(at_once=MOST_INSIDE, waiting=0))
    rates: Rates = field(default_factory=Rates)
    metrics: Metrics = field(default_factory=Metrics)
    page_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """Who has it may see the page; another one with each start."""
    clients: Clients = field(init=False)
    running: Running = field(init=False)
    guard: Guard = field(init=False)
    shadows: Shadows = field(init=False)
    events: Writer = field(init=False)

    def __post_init__(self) -> None:
        """Make what belongs to the study."""
        runs, settings = self.settings.runs, self.settings
        self.clients, self.running = Clients(runs, settings.keys.parent), Running(runs / FOLDER)
        self.guard, self.shadows = Guard(self.running), Shadows(self.turns, self.metrics)
        self.events = Writer(settings.events or sqlite_url(runs), settings.keep_days, self.metrics)

    async def close(self) -> None:
        """End what runs, and write what waits."""
        await self.shadows.close()
        await asyncio.to_thread(self.events.close, FLUSH)
        await self.backend.close()


def gateway_of(request: Request) -> Gateway:
    """The gateway that was asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway
