"""Threads for versions: turns, full queues, and who leaves."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from tests.zoo.serving.rest.calls import until
from zoo.serving.local.workers import Workers
from zoo.serving.rest.worker import MOST_WAITING, Busy


class Work:
    """Calls that are noted when they begin, and end when they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()

    def call(self, name: str) -> Callable[[], str]:
        return partial(self._do, name)

    def _do(self, name: str) -> str:
        self.begun.append(name)
        assert self.go.wait(10)
        return name


def test_versions_take_turns() -> None:
    async def run() -> None:
        workers, work = Workers(1), Work()
        asked = [("a", f"a{number}") for number in range(4)] + [("b", "b0"), ("c", "c0"), ("b", "b1")]
        tasks = [asyncio.ensure_future(workers.run(version, work.call(name))) for version, name in asked]
        await until(lambda: len(work.begun) == 1)
        assert [workers.waiting(version) for version in "abcd"] == [3, 2, 1, 0]
        work.go.set()
        assert await asyncio.gather(*tasks) == [name for _, name in asked]
        assert work.begun == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]
        assert not workers.waiting("a")

    asyncio.run(run())


def test_as_many_at_a_time_as_there_are_threads() -> None:
    async def run() -> None:
        workers, work = Workers(3), Work()
        tasks = [asyncio.ensure_future(workers.run("a", work.call(str(number)))) for number in range(9)]
        await until(lambda: len(work.begun) == 3)
        await asyncio.sleep(0.05)
        assert len(work.begun) == 3
        work.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_full_queue_is_of_one_version_only() -> None:
    async def run() -> None:
        workers, work = Workers(1), Work()
        tasks = [asyncio.ensure_future(workers.run("a", work.call("a"))) for _ in range(1 + MOST_WAITING)]
        await until(lambda: workers.waiting("a") == MOST_WAITING)
        with pytest.raises(Busy):
            await workers.run("a", work.call("a"))
        other = asyncio.ensure_future(workers.run("b", work.call("b")))
        tasks.pop().cancel()
        await until(lambda: workers.waiting("a") == MOST_WAITING - 1)
        tasks.append(asyncio.ensure_future(workers.run("a", work.call("a"))))  # there is room again
        work.go.set()
        assert await other == "b"
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_thread_is_free_only_when_its_call_has_ended_whoever_still_wants_it() -> None:
    async def run() -> None:
        workers, work = Workers(1), Work()
        first = asyncio.ensure_future(workers.run("a", work.call("first")))
        await until(lambda: work.begun == ["first"])
        first.cancel()
        second = asyncio.ensure_future(workers.run("a", work.call("second")))
        await asyncio.sleep(0.05)
        assert work.begun == ["first"]
        work.go.set()
        assert await second == "second"
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_a_failure_frees_the_thread() -> None:
    async def run() -> None:
        workers = Workers(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await workers.run("a", lambda: 1 // 0)
        assert await workers.run("a", lambda: 7) == 7

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_when_many_leave_at_odd_moments(seed: int) -> None:
    import random

    async def run() -> None:
        chance, workers = random.Random(seed), Workers(2)
        tasks = []
        for _ in range(300):
            tasks.append(asyncio.ensure_future(workers.run(chance.choice("abc"), lambda: None)))
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError | Busy) for one in done)
        await until(lambda: workers._idle == 2)
        assert workers._queues == {}

    asyncio.run(run())
