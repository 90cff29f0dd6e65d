"""What all calls of one gateway share."""

import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.backend import Backend
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.rates import Rates
from gateway.settings import Settings
from gateway.turns import Turns

AT_ONCE, WAITING = 16, 64
"""Requests that a version is asked at a time, and that wait for it."""
MOST_INSIDE = 256
"""Requests with a body that are inside at a time: each may hold as much memory as a body has bytes, and more."""


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


def gateway_of(request: Request) -> Gateway:
    """The gateway that was asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway
