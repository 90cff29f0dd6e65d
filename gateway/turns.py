"""Bounded queues: a version is asked so much at a time, some more may wait, and the next one is refused at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.problems import try_later


@dataclass
class _Queue:
    turns: asyncio.Semaphore
    inside: int = 0


@dataclass
class Turns:
    """A queue for each version. All methods belong to one event loop."""

    at_once: int
    """What a version is asked at a time: two batches of TorchServe, so that it always finds a whole one."""
    waiting: int
    """How many more may wait for a version, in the order in which they came."""
    changed: float = 0.0
    """When somebody last came or went, by `time.monotonic`."""
    _queues: dict[str, _Queue] = field(default_factory=dict)

    @property
    def inside(self) -> int:
        """How many are asked or wait now, of all versions."""
        return sum(queue.inside for queue in self._queues.values())

    @asynccontextmanager
    async def turn(self, version: str) -> AsyncIterator[None]:
        """Wait until `version` may be asked, for as long as the block runs. Raises `Problem` (503) at a full queue."""
        queue = self._queues.setdefault(version, _Queue(asyncio.Semaphore(self.at_once)))
        if queue.inside >= self.at_once + self.waiting:
            raise try_later(f"{self.waiting} requests wait already; wait, and ask again")
        queue.inside += 1
        self.changed = time.monotonic()
        try:
            async with queue.turns:
                yield
        finally:
            queue.inside -= 1
            self.changed = time.monotonic()
            if not queue.inside:  # names come from outside: a queue that nobody is in is not kept
                self._queues.pop(version, None)
