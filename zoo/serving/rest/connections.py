"""Connections of clients: many at a time, and none that waits for ever for the head of a request."""

import asyncio
import resource
import socket
import sys
from collections.abc import Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE = 75
"""Seconds until a connection without a request is closed: later than clients do it, so that none sends into a closing
one.
"""
MOST_FILES = 65_536
"""The most open files and connections of a process, as far as the system allows them."""


class TimedProtocol(H11Protocol):
    """HTTP where uvicorn's keep-alive timeout is also that of a request's head, from its first byte to its last.

    So is it of the rest of a body that was answered early, as one that is too large; and of answers that the client
    does not read. uvicorn itself waits for all of these as long as the client likes, and a process has so many open
    files.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        if sys.platform == "linux":
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * self.timeout_keep_alive)
        self._wait_until(self.loop.time() + self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Go on waiting where head or rest are not complete yet; not longer because a part of it has come."""
        waiting, before = self.timeout_keep_alive_task, self._incomplete()
        super().data_received(data)
        now = self._incomplete()
        if now or self.conn.their_state is h11.IDLE:
            longer = self.loop.time() + self.timeout_keep_alive
            self._wait_until(waiting.when() if waiting and now and now == before else longer)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where it was answered already, the connection ends without a word."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer: uvicorn forgets it after a reset, and the connection would stay in memory until then."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def _incomplete(self) -> str:
        """What has come in part, and nobody else waits for; empty if nothing has."""
        if self.conn.their_state is h11.IDLE:
            return "head" if self.conn.trailing_data[0] else ""
        return "rest" if (self.conn.our_state, self.conn.their_state) == (h11.DONE, h11.SEND_BODY) else ""

    def _wait_until(self, time: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_at(time, self.timeout_keep_alive_handler)


UVICORN: Mapping[str, Any] = {
    "loop": "asyncio",  # and no other that is installed
    "http": TimedProtocol,
    "ws": "none",
    "proxy_headers": False,
    "server_header": False,
    "timeout_keep_alive": KEEP_ALIVE,
}
"""Settings of every uvicorn that clients reach."""


def allow_many() -> None:
    """Raise this process's limit of open files: the usual one, 1,024, is of as many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
