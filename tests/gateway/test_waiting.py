"""What waits: queues, slow bodies, clients that hang up. On a wire that the test holds in its hands."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from gateway import body
from gateway.keys import SCOPES
from gateway.problems import Problem
from gateway.turns import Turns
from tests.gateway.calls import PICTURE, Front


class Wire:
    """One request to an app, on a connection that the test holds in its hands."""

    def __init__(self, front: Front, key: str, path: str = "/v1/classify") -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {key}".encode())],
            "server": ("testserver", 8000),
        }
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.outgoing: list[Message] = []
        self.task = asyncio.ensure_future(front.app(scope, self.incoming.get, self._send))

    def send(self, content: bytes, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": content, "more_body": more})

    async def status(self) -> int:
        await asyncio.wait_for(self.task, 10)
        return int(self.outgoing[0]["status"])

    async def _send(self, message: Message) -> None:
        self.outgoing.append(message)


async def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_slow_bodies_keep_nobody_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        front = Front(tmp_path)
        key = front.keys.add("tests", SCOPES, "1000/minute")
        slow = [Wire(front, key) for _ in range(50)]
        for one in slow:
            one.send(b"x", more=True)
        fast = Wire(front, key)
        fast.send(PICTURE)
        assert await fast.status() == 200
        for one in slow:
            one.send(b"y")
        assert [await one.status() for one in slow] == [200] * 50

    asyncio.run(main())


def test_a_body_that_does_not_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.05)

    async def main() -> None:
        front = Front(tmp_path)
        wire = Wire(front, front.keys.add("tests", SCOPES, "1000/minute"))
        wire.send(b"x", more=True)
        assert await wire.status() == 408

    asyncio.run(main())


def test_a_client_that_hangs_up_leaves_the_queue(tmp_path: Path) -> None:
    async def main() -> None:
        front = Front(tmp_path)
        front.gateway.turns.at_once = 1
        front.runtime.go = asyncio.Event()
        key = front.keys.add("tests", SCOPES, "1000/minute")
        first, second, third = (Wire(front, key) for _ in range(3))
        for one in (first, second, third):
            one.send(PICTURE)
        await until(lambda: len(front.runtime.asked) == 1)
        for one in (first, second):
            one.incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.gather(first.task, second.task)
        front.runtime.go.set()
        assert await third.status() == 200
        assert len(front.runtime.asked) == 2

    asyncio.run(main())


def test_turns() -> None:
    async def main() -> None:
        turns, order, go = Turns(at_once=2, waiting=2), [], asyncio.Event()

        async def call(name: str, version: str = "a") -> None:
            async with turns.turn(version):
                order.append(name)
                await go.wait()

        calls = [asyncio.ensure_future(call(str(number))) for number in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="2 requests wait already") as caught:
            await call("5")
        assert caught.value.headers == {"Retry-After": "1"}
        other = asyncio.ensure_future(call("b", "another version"))
        await asyncio.sleep(0)
        assert order == ["0", "1", "b"]
        calls[2].cancel()
        go.set()
        await asyncio.gather(*calls, other, return_exceptions=True)
        assert order == ["0", "1", "b", "3"]
        assert not turns._queues

    asyncio.run(main())
