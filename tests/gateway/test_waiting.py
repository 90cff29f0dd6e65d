"""What waits: queues, slow bodies, clients that hang up. On a wire that the test holds in its hands."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from gateway import body
from gateway.keys import SCOPES
from gateway.problems import Problem
from gateway.turns import Turns
from tests.gateway.calls import PICTURE, Front


class Wire:
    """One request to an app, on a connection that the test holds in its hands."""

    def __init__(self, front: Front, key: str, path: str = "/v1/classify", cookie: str = "") -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {key}".encode()), (b"cookie", cookie.encode())],
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
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def main() -> None:
        front = Front(tmp_path)
        key, cookie = front.keys.add("tests", SCOPES, "1000/minute"), f"lesion_zoo_8000={front.gateway.page_token}"
        for wire in (Wire(front, key), Wire(front, "", "/gradio_api/run/classify", cookie)):
            while not wire.task.done():  # no part makes it wait for longer
                wire.send(b"x", more=True)
                await asyncio.sleep(0.01)
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
        counts = front.gateway.metrics.text().decode()
        assert 'gateway_pictures_total{call="classify",status="499"} 2.0' in counts
        assert 'gateway_pictures_total{call="classify",status="200"} 1.0' in counts

    asyncio.run(main())


def test_a_key_that_asks_much_keeps_no_other_waiting() -> None:
    async def main() -> None:
        turns, order = Turns(at_once=1, waiting=6), []
        go = asyncio.Event()

        async def call(key: str, name: str) -> None:
            async with turns.turn("a", key):
                await go.wait()
                order.append(name)

        greedy = [asyncio.ensure_future(call("greedy", f"g{number}")) for number in range(7)]
        await asyncio.sleep(0)
        other = [asyncio.ensure_future(call("other", f"o{number}")) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="6 requests wait already"):
            await call("greedy", "one too many")
        assert turns.inside == 7
        greedy[1].cancel()
        await asyncio.sleep(0)
        assert turns.inside == 6
        go.set()
        done = await asyncio.gather(*greedy, *other, return_exceptions=True)
        assert order == ["g0", "g2", "o0", "g3", "o1", "g4"]
        assert [str(one) for one in done if isinstance(one, Problem)] == [
            "6 requests wait already; wait, and ask again"
        ] * 2
        assert not turns._queues

    asyncio.run(main())


def test_a_turn_is_passed_on_by_who_hangs_up_as_it_comes() -> None:
    async def main() -> None:
        turns, go = Turns(at_once=1, waiting=6), asyncio.Event()

        async def call() -> None:
            async with turns.turn("a"):
                await go.wait()

        first, second, third = (asyncio.ensure_future(call()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        second.cancel()  # it has its turn, and does not know yet
        go.set()
        await asyncio.wait_for(third, 5)
        assert not turns._queues

    asyncio.run(main())


def test_a_place_that_is_given_up_and_taken_at_the_same_moment() -> None:
    async def main() -> None:
        turns, go = Turns(at_once=1, waiting=2), asyncio.Event()

        async def call(key: str) -> str:
            async with turns.turn("a", key):
                await go.wait()
            return key

        _, _, hung_up = greedy = [asyncio.ensure_future(call("greedy")) for _ in range(3)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(call("other"))
        hung_up.cancel()  # its place is taken by the other key before it finds out
        go.set()
        done = await asyncio.wait_for(asyncio.gather(*greedy, other, return_exceptions=True), 5)
        assert [type(one) for one in done] == [str, str, asyncio.CancelledError, str]
        assert not turns._queues

    asyncio.run(main())


def test_keys_take_turns_in_every_call(front: Front, client: TestClient) -> None:
    turns: list[tuple[str, str]] = []
    turn = front.gateway.turns.turn

    def noted(version: str, key: str = "") -> Any:
        turns.append((version.partition("/")[2], key))
        return turn(version, key)

    front.gateway.turns.turn = noted  # type: ignore[method-assign]
    client.post("/v1/classify/transfer", content=PICTURE)
    client.post("/v1/explain/transfer", content=PICTURE)
    client.post("/v1/synthesize/sagan", content=b"{}")
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PICTURE).decode()]}
    client.post("/v2/models/lesion_classifier/versions/baseline/infer", json={"inputs": [tensor]})
    assert turns == [("transfer", "tests"), ("transfer", "tests"), ("sagan", "tests"), ("baseline", "tests")]


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
