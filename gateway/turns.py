"""Bounded queues: a version is asked so much at a time, some more may wait, and API keys take turns.

Where the queue is full, the key that has the most in it goes without.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.problems import Problem, try_later


@dataclass
class _Queue:
    asked: int = 0
    """Requests that the version is asked now."""
    waiting: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)
    """Requests that wait, by key; the key whose turn is next comes first."""

    @property
    def inside(self) -> int:
        return self.asked + sum(map(len, self.waiting.values()))

    async def wait(self, key: str, at_once: int) -> None:
        """Wait for a turn, which `pass_on` ends. Raises `Problem` where another key's request got the place."""
        if self.asked < at_once:
            self.asked += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                if turn in self.waiting.get(key, ()):  # else another key has its place already
                    self.waiting[key].remove(turn)
                    self._tidy(key)
            elif not turn.exception():  # it was its turn, at the same moment
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """End a turn: the next key has it, which then comes last."""
        for key, waiting in self.waiting.items():
            if turn := next((turn for turn in waiting if not turn.done()), None):
                waiting.remove(turn)
                self.waiting[key] = self.waiting.pop(key)
                self._tidy(key)
                turn.set_result(None)
                return
        self.asked -= 1

    def give_up(self, key: str, problem: Problem) -> None:
        """Refuse the last request of the key that has the most, for one of `key`. Raises `problem` where that has."""
        most = max(self.waiting, key=lambda name: len(self.waiting[name]), default=key)
        if len(self.waiting.get(most, ())) <= len(self.waiting.get(key, ())) + 1:
            raise problem
        turn = self.waiting[most].pop()
        if not turn.done():
            turn.set_exception(problem)

    def _tidy(self, key: str) -> None:
        if not self.waiting[key]:
            del self.waiting[key]


@dataclass
class Turns:
    """A queue for each version. All methods belong to one event loop."""

    at_once: int
    """What a version is asked at a time: two batches of TorchServe, so that it always finds a whole one."""
    waiting: int
    """How many more may wait for a version: of each key in the order in which they came."""
    changed: float = 0.0
    """When somebody last came or went, by `time.monotonic`."""
    _queues: dict[str, _Queue] = field(default_factory=dict)

    @property
    def inside(self) -> int:
        """How many are asked or wait now, of all versions."""
        return sum(queue.inside for queue in self._queues.values())

    @asynccontextmanager
    async def turn(self, version: str, key: str = "") -> AsyncIterator[None]:
        """Wait until `version` may be asked, for as long as the block runs; `key` is the name of who asks.

        Raises `Problem` (503) at a full queue.
        """
        queue = self._queues.setdefault(version, _Queue())
        if queue.inside >= self.at_once + self.waiting:
            wait = f"{self.waiting} requests wait already" if self.waiting else f"{self.at_once} are answered now"
            queue.give_up(key, try_later(f"{wait}; wait, and ask again"))
        self.changed = time.monotonic()
        try:
            await queue.wait(key, self.at_once)
            try:
                yield
            finally:
                queue.pass_on()
        finally:
            self.changed = time.monotonic()
            if not queue.inside:  # names come from outside: a queue that nobody is in is not kept
                self._queues.pop(version, None)
