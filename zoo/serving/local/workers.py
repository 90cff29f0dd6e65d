"""Threads that answer requests. Versions that have some waiting take turns, so that none keeps the others waiting."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from zoo.serving.rest.worker import MOST_WAITING, Busy

Result = TypeVar("Result")


class Workers:
    """So many threads, and a queue for each version. All methods belong to one event loop."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._idle = threads
        self._queues: dict[object, deque[asyncio.Future[None]]] = {}
        """Who waits, by version; the first version's turn is next. No queue is empty."""

    def waiting(self, version: object) -> int:
        """How many requests wait for a version."""
        return len(self._queues.get(version, ()))

    async def run(self, version: object, call: Callable[[], Result]) -> Result:
        """What `call` returns, in a thread, when it is the version's turn. Raises `Busy`.

        Cancelled while it waits, it leaves the queue. Later, the call goes on to its end, and has its thread till then.
        """
        await self._turn(version)
        work = asyncio.get_running_loop().run_in_executor(self._pool, call)
        work.add_done_callback(lambda _: self._next())
        return await asyncio.shield(work)

    async def _turn(self, version: object) -> None:
        """Wait for a thread, which is then taken."""
        if self._idle:
            self._idle -= 1
            return
        if self.waiting(version) >= MOST_WAITING:
            raise Busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(version, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(version, turn)
            else:  # its turn had come in the same moment
                self._next()
            raise

    def _leave(self, version: object, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(version, deque())
        with suppress(ValueError):
            queue.remove(turn)
        if not queue:
            self._queues.pop(version, None)

    def _next(self) -> None:
        """Give a thread that has become free to whoever waits next."""
        while self._queues:
            version = next(iter(self._queues))
            queue = self._queues.pop(version)
            turn = queue.popleft()
            if queue:
                self._queues[version] = queue  # behind the other versions
            if not turn.done():  # a cancelled one has not left yet
                turn.set_result(None)
                return
        self._idle += 1
