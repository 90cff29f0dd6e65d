"""Replicas that die are asked again; a queue has its end; a client that hangs up takes its request along."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from zoo.serving.ray import worker
from zoo.serving.ray.details import Details
from zoo.serving.ray.worker import PAUSES, Replicas
from zoo.serving.rest.worker import MOST_WAITING, Busy, Sent, Unavailable

failed: Any = RayTaskError
ANSWER = (200, b"{}", "application/json", 0.1)
GONE = (
    lambda: ActorDiedError(),
    lambda: ActorUnavailableError("no route", None),
    lambda: DeploymentUnavailableError(DeploymentID("baseline")),
)


class Response:
    """What Ray's handle returns at once."""

    def __init__(self, outcome: Callable[[], Awaitable[Any]]) -> None:
        self._outcome, self.cancelled = outcome, False

    def __await__(self) -> Any:
        return self._outcome().__await__()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Stands for Ray's: each request has the next of `outcomes`, the last one again and again."""

    app_name, deployment_name = "zoo-baseline", "baseline"

    def __init__(self, *outcomes: Callable[[], Any]) -> None:
        self._outcomes, self.answer = list(outcomes), self
        self.asked: list[Response] = []

    def remote(self, content: bytes, headers: dict[str, str], explain: bool) -> Response:
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

        async def run() -> Any:
            result = outcome()
            result = await result if asyncio.iscoroutine(result) else result
            if isinstance(result, Exception):
                raise result
            return result

        self.asked.append(Response(run))
        return self.asked[-1]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAUSES", (0.001,) * len(PAUSES))


def replicas(handle: Handle, at_once: int = 2) -> Replicas:
    return Replicas({"entry": "baseline"}, handle, at_once, Details())


@pytest.mark.parametrize("gone", GONE)
def test_a_request_whose_replica_dies_is_asked_again(gone: Callable[[], Exception]) -> None:
    handle = Handle(gone, gone, lambda: ANSWER)
    assert asyncio.run(replicas(handle).answer(b"x", {}, False)) == Sent(*ANSWER)
    assert len(handle.asked) == 3


@pytest.mark.parametrize("gone", GONE)
def test_it_ends_where_all_of_them_stay_away(gone: Callable[[], Exception]) -> None:
    handle = Handle(gone)
    asked = replicas(handle)
    with pytest.raises(Unavailable, match=rf"^its replicas are gone: {type(gone()).__name__}$"):
        asyncio.run(asked.answer(b"x", {}, False))
    assert len(handle.asked) == 1 + len(PAUSES)
    assert asked.waiting == 0


def test_a_failure_of_our_own_code_is_not_tried_again() -> None:
    handle = Handle(partial(failed, "answer", "Traceback: secret", KeyError("classes")))
    with pytest.raises(RayTaskError):
        asyncio.run(replicas(handle).answer(b"x", {}, False))
    assert len(handle.asked) == 1


def test_a_full_queue() -> None:
    async def run() -> None:
        go = asyncio.Event()

        async def held() -> Any:
            await go.wait()
            return ANSWER

        handle = Handle(held)
        asked = replicas(handle, at_once=3)
        tasks = [asyncio.ensure_future(asked.answer(b"x", {}, False)) for _ in range(3 + MOST_WAITING)]
        await asyncio.sleep(0.01)
        assert asked.waiting == MOST_WAITING
        with pytest.raises(Busy):
            await asked.answer(b"x", {}, False)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        await asyncio.sleep(0.1)  # Ray's cancel waits, so a thread does it
        assert handle.asked[0].cancelled
        assert asked.waiting == MOST_WAITING - 1
        go.set()
        assert await asked.answer(b"x", {}, False) == Sent(*ANSWER)
        await asyncio.gather(*tasks[1:])
        assert asked.waiting == 0

    asyncio.run(run())
