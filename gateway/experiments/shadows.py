"""Shadows answer unseen, behind the answer that the client has: nothing that they do changes it."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.metrics import Metrics
from gateway.turns import Turns
from zoo.serving.local.quota import processors

MOST_WAITING, MOST_BYTES = 64, 64_000_000
"""Pictures, and their bytes, that wait for shadows; a further one is dropped, and counted."""
AT_ONCE = 2
"""Pictures that shadows are asked at a time."""
PAUSE = 0.02
"""Seconds after which it is looked again whether clients need the processors."""
FREE = max(1, processors() - 1)
"""With so many questions of clients inside, no processor is free."""
QUIET = 0.05
"""On two processors, clients must have asked nothing for so many seconds: one that asked may ask again at once."""
PATIENCE = 1.0
"""Seconds after which a shadow is asked all the same."""


@dataclass
class Task:
    """One picture for one shadow."""

    ask: Callable[[], Awaitable[bool]]
    """Asks, and returns whether there was an answer."""
    size: int
    """Bytes of the picture."""
    wanted: Callable[[], bool]
    """Whether there still is a reason to ask: the experiment may have ended."""
    since: float = field(default_factory=time.monotonic)


class Shadows:
    """A bounded queue that is worked at while a processor is free. All methods belong to one event loop."""

    def __init__(self, turns: Turns, metrics: Metrics) -> None:
        """`turns` are those of the answers that clients see."""
        self._turns, self._metrics = turns, metrics
        self._waiting: deque[Task] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._begun = 0.0

    def add(self, task: Task) -> None:
        """Let a shadow be asked soon, or drop it."""
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING or sum(one.size for one in waiting) + task.size > MOST_BYTES:
            self._metrics.shadows.labels("dropped").inc()
            return
        waiting.append(task)
        if len(self._workers) < AT_ONCE:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        while self._waiting:
            while self._waiting and not self._may_begin(self._waiting[0]):
                await asyncio.sleep(PAUSE)
            if not self._waiting:  # the other one took it
                return
            self._begun = time.monotonic()
            task = self._waiting.popleft()
            outcome = "dropped"
            if task.wanted():
                outcome = "answered" if await task.ask() else "failed"
            self._metrics.shadows.labels(outcome).inc()

    def _may_begin(self, task: Task) -> bool:
        """Whether clients leave a processor free, or it has waited long enough, as one a second does at most."""
        now, turns = time.monotonic(), self._turns
        if now - max(self._begun, task.since) > PATIENCE:
            return True
        return turns.inside < FREE and (FREE > 1 or now - turns.changed > QUIET)
