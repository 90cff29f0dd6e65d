"""The limits of a server, without a network: sizes, queues, times, and clients that hang up."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tests.zoo.serving.rest.calls import SAGAN, TRANSFER, Echo, Server, Wire, until
from zoo.serving.local.threads import Threads
from zoo.serving.local.workers import Workers
from zoo.serving.rest import inference, worker
from zoo.serving.service import Answer, Call
from zoo.serving.torchserve.archiver import settings
from zoo.serving.torchserve.process import BASE


def test_limits_are_those_of_torchserve() -> None:
    own = BASE.read_text()
    assert re.search(rf"^job_queue_size={worker.MOST_WAITING}$", own, re.MULTILINE)
    assert f"responseTimeout: {inference.SECONDS}\n" in settings(8)


Test = Callable[[Server], Coroutine[Any, Any, None]]


def run(test: Test) -> Callable[[Server], None]:
    """Run a test that is a coroutine."""

    def wrapped(server: Server) -> None:
        asyncio.run(test(server))

    wrapped.__name__ = test.__name__
    return wrapped


@run
async def test_a_body_that_says_that_it_is_too_large_is_not_read(server: Server) -> None:
    wire = Wire(server, headers={"content-length": "10000001"})
    status, body = await wire.answer()
    assert (status, body["code"], body["type"]) == (413, 413, "ContentTooLarge")
    assert body["message"] == (
        "10,000,001 bytes are more than the server takes, 10,000,000; raise the limit: make serve MAX_REQUEST_MB=20"
    )
    assert not wire.received


@run
async def test_a_body_without_a_length_is_read_up_to_the_limit(server: Server) -> None:
    wire = Wire(server)
    for _ in range(20):
        wire.send(bytes(1_000_000), more=True)
    assert (await wire.answer())[0] == 413
    assert wire.received == 11
    wire = Wire(server)
    for number in range(10):
        wire.send(bytes(1_000_000), more=number < 9)
    assert (await wire.answer())[0] == 200


@run
async def test_the_hundred_and_first_that_waits_is_refused(server: Server) -> None:
    echo = server.echoes["baseline"]
    echo.go.clear()
    wires = [Wire(server) for _ in range(1 + worker.MOST_WAITING)]
    for wire in wires:
        wire.send(b"x")
    await until(lambda: _waiting(server) == worker.MOST_WAITING)
    late = Wire(server)
    late.send(b"x")
    status, body = await late.answer()
    assert (status, body["type"]) == (503, "ServiceUnavailableException")
    assert body["message"] == "100 requests wait for baseline already; wait, and ask again"
    assert (b"retry-after", b"1") in late.outgoing[0]["headers"]
    other = Wire(server, TRANSFER)  # of the same model, but with a queue of its own
    other.send(b"x")
    generator = Wire(server, SAGAN)  # of another model, with threads of its own
    generator.send(b"x")
    assert (await generator.answer())[0] == 200
    assert not other.task.done()
    echo.go.set()
    assert {(await wire.answer())[0] for wire in (*wires, other)} == {200}
    assert len(echo.asked) == len(wires)


class UnseenWaits(Echo):
    """Answers at once, but for the body "unseen", which waits until it is let go."""

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        if calls[0].fields["body"] == b"unseen":
            return super().answer(calls)
        return [Answer(200, {}) for _ in calls]


def test_an_answer_that_nobody_sees_keeps_nobody_waiting() -> None:
    echo = UnseenWaits("baseline")
    threads = Threads(echo, Workers(1), aside=Workers(1))

    async def ask() -> None:
        echo.go.clear()
        unseen = asyncio.create_task(threads.answer(b"unseen", {}, explain=False, unseen=True))
        await until(lambda: bool(echo.asked))
        assert (await asyncio.wait_for(threads.answer(b"x", {}, explain=False), 10)).status == 200
        assert not unseen.done()
        echo.go.set()
        assert (await unseen).status == 200

    asyncio.run(ask())


def _waiting(server: Server) -> int:
    """How many requests wait for `baseline`, as management tells."""
    [row] = server.client("management", 1).get("/models/lesion_classifier/baseline").json()
    queue = row["jobQueueStatus"]
    assert queue["remainingCapacity"] + queue["pendingRequests"] == worker.MOST_WAITING
    return int(queue["pendingRequests"])


@run
async def test_a_client_that_hangs_up_frees_its_place(server: Server) -> None:
    echo = server.echoes["baseline"]
    echo.go.clear()
    wires = [Wire(server) for _ in range(3)]
    for number, wire in enumerate(wires):
        wire.send(b"%d" % number)
    await until(lambda: len(echo.asked) == 1 and _waiting(server) == 2)
    wires[1].hang_up()
    await until(lambda: _waiting(server) == 1)
    wires[0].hang_up()  # it is being answered, and keeps its thread till then
    await until(wires[0].task.done)
    assert _waiting(server) == 1
    echo.go.set()
    assert (await wires[2].answer())[0] == 200
    assert [call.fields["body"] for call in echo.asked] == [b"0", b"2"]
    cut = Wire(server, headers={"content-length": "9"})
    cut.send(b"x", more=True)
    cut.hang_up()
    await asyncio.wait_for(cut.task, 10)
    assert len(echo.asked) == 2


def test_an_answer_that_takes_too_long(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        echo: Echo = server.echoes["baseline"]
        echo.go.clear()
        wires = [Wire(server) for _ in range(2)]
        for wire in wires:
            wire.send(b"x")
        for wire in wires:  # the one that is worked on, and the one that waits
            status, body = await wire.answer()
            assert (status, body["type"]) == (503, "ServiceUnavailableException")
            assert body["message"] == "no answer in 0.1 seconds; wait, and ask again"
        assert _waiting(server) == 0
        echo.go.set()
        again = Wire(server)
        again.send(b"x")
        assert (await again.answer())[0] == 200
        assert len(echo.asked) == 2

    monkeypatch.setattr(inference, "SECONDS", 0.1)
    asyncio.run(ask())


def test_a_body_that_does_not_arrive(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        wire = Wire(server, headers={"content-length": "9"})
        while not wire.task.done():  # no part makes it wait for longer
            wire.send(b"x", more=True)
            await asyncio.sleep(0.03)
        status, body = await wire.answer()
        assert (status, body["type"]) == (408, "RequestTimeout")
        assert body["message"] == "the body did not arrive in 0.1 seconds"
        assert not server.echoes["baseline"].asked

    monkeypatch.setattr(inference, "BODY_SECONDS", 0.1)
    asyncio.run(ask())
