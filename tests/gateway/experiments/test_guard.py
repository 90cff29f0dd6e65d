"""The guard takes out an arm that fails or is slow, and no other."""

import asyncio
import base64
import re
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.backend import Reply
from gateway.classify import Caller, classify
from gateway.experiments import files, guard
from gateway.experiments.experiment import Experiment, Removal
from gateway.experiments.running import Plan, Running
from gateway.pictures import Picture
from tests.gateway.calls import PICTURE, Front, problem
from tests.gateway.experiments.live import CLASSIFY, HALVES, Moody, begin, broken, entry, events, folder, until
from zoo.serving.rest.inference import GONE

KINDS = (b"ServiceUnavailableException", GONE.encode())


def test_the_guard_takes_a_failing_arm_out(front: Front, moody: Moody, open_client: TestClient) -> None:
    begin(front, guard={"errors": 0.2, "answers": 20})
    who = [f"client{number}" for number in range(60)]
    before = {name: entry(open_client, name) for name in who}
    moody.moods["transfer"] = broken
    failed = 0
    for _ in range(3):
        for name in who:
            failed += open_client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": name}).status_code == 503
    assert 1 < failed < 20
    assert {entry(open_client, name) for name in who} == {"baseline"}
    file = files.file_of(folder(front), "halves")
    until(lambda: files.read(file).removed)
    assert re.fullmatch(r"[0-9]+ of its last 20 answers were failures", files.read(file).removed["transfer"].reason)
    assert files.read(file).arms == HALVES
    # The last arm is never taken out, however it fails; put back by hand, the other one answers again.
    moody.moods = {"baseline": broken}
    for name in who:
        problem(open_client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": name}), 503)
    files.change(folder(front), "halves", lambda one: files.update(one, removed={}))
    arms = [name for name in who if before[name] == "transfer"]
    assert {entry(open_client, name) for name in arms} == {"transfer"}


def test_an_arm_whose_processes_are_gone_is_taken_out(front: Front, moody: Moody, open_client: TestClient) -> None:
    begin(front, guard={"answers": 10})
    message = b'"message": "transfer does not answer at present (its replicas are gone)"'
    full, gone = (Reply(503, "application/json", b'{"type": "%s", %s}' % (kind, message)) for kind in KINDS)
    who = [f"client{number}" for number in range(60)]
    for reply, expected in ((full, []), (gone, ["transfer"])):
        moody.moods["transfer"] = partial(copy, reply)
        for name in who:
            open_client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": name})
        if expected:
            until(lambda: files.read(files.file_of(folder(front), "halves")).removed)
        assert list(files.read(files.file_of(folder(front), "halves")).removed) == expected


def test_a_removal_is_not_written_into_another_experiment_of_the_name(
    front: Front, moody: Moody, open_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = begin(front)
    file = files.file_of(folder(front), "halves")
    file.unlink()
    begin(front, arms={"baseline": 0.5, "views": 0.5})
    removal = Removal(time=1, reason="it failed")
    front.gateway.running.out[started.identity] = {"transfer"}
    asyncio.run(front.gateway.guard._write(started, "transfer", removal))
    assert not files.read(file).removed


def test_the_guard_takes_a_slow_arm_out(front: Front, moody: Moody, open_client: TestClient) -> None:
    begin(front, guard={"latency_ms": 15, "answers": 10})
    moody.moods["transfer"] = lambda: asyncio.sleep(0.03)
    who = [f"client{number}" for number in range(50)]
    for _ in range(2):
        for name in who:
            entry(open_client, name)
    assert {entry(open_client, name) for name in who} == {"baseline"}
    until(lambda: files.read(files.file_of(folder(front), "halves")).removed)
    reason = files.read(files.file_of(folder(front), "halves")).removed["transfer"].reason
    assert reason == "of its last 10 answers, more than half took over 15 ms, or nobody waited"


def test_an_arm_for_which_clients_do_not_wait_is_taken_out(front: Front, moody: Moody, open_client: TestClient) -> None:
    started = begin(front, guard={"answers": 10, "latency_ms": 15})
    moody.moods["transfer"] = lambda: asyncio.sleep(60)

    async def ask(name: str) -> None:
        caller = Caller(name, Plan(started, "transfer"))
        work = asyncio.create_task(classify(front.gateway, Picture(PICTURE), None, caller))
        await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    async def ask_all() -> None:
        for number in range(10):
            front.gateway.guard.observe(started, "baseline", False, 1)
            await ask(f"{number:064x}")
        await asyncio.to_thread(until, lambda: files.read(files.file_of(folder(front), "halves")).removed)

    asyncio.run(ask_all())
    assert list(files.read(files.file_of(folder(front), "halves")).removed) == ["transfer"]
    until(lambda: len(events(front)) == 10)
    assert {(row.arm, row.status, row.probabilities) for row in events(front)} == {("transfer", 499, None)}


def test_one_request_counts_once(front: Front, moody: Moody, open_client: TestClient) -> None:
    started = begin(front, guard={"answers": 10}, arms={"transfer": 1.0, "baseline": 0.0})
    observed: list[tuple[bool, float]] = []

    def observe(experiment: Experiment, arm: str, failed: bool, latency_ms: float) -> None:
        observed.append((failed, latency_ms))

    front.gateway.guard.observe = observe  # type: ignore[method-assign]
    assert open_client.post(CLASSIFY, json=[base64.b64encode(PICTURE).decode()] * 60).status_code == 200
    assert [failed for failed, _ in observed] == [False]

    async def hang_up(seconds: float) -> None:
        work = asyncio.create_task(
            classify(front.gateway, Picture(PICTURE), None, Caller("a" * 64, Plan(started, "transfer")))
        )
        await asyncio.sleep(seconds)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    moody.moods["transfer"] = lambda: asyncio.sleep(60)
    asyncio.run(hang_up(0.2))
    assert len(observed) == 1, "a hang-up long before the limit says nothing of the version"


class Alone:
    """A guard of two arms, without a gateway; what it takes out is written nowhere."""

    def __init__(self, folder: Path, shares: tuple[float, float]) -> None:
        arms = {"reference": shares[0], "other": shares[1]}
        self.experiment, self.running = Experiment(name="two", started=1, arms=arms), Running(folder)
        self.guard, self.random, self.asked = guard.Guard(self.running), Random(0), 0

    def ask(self, number: int, failed: Callable[[str], bool], slow: bool = False) -> set[str]:
        """Let clients ask so often, or until an arm is taken out; returns which are."""

        async def main() -> None:
            for _ in range(number):
                if self.out:
                    return
                self.asked += 1
                [arm] = self.random.choices(*zip(*self.experiment.arms.items(), strict=True))
                self.guard.observe(self.experiment, arm, failed(arm), 20_000 if slow else 10)

        asyncio.run(main())
        return self.out

    @property
    def out(self) -> set[str]:
        return self.running.out.get(self.experiment.identity, set())


def good(arm: str) -> bool:
    return False


def bad(arm: str) -> bool:
    return True


def by_chance(percent: int) -> Callable[[str], bool]:
    random = Random(percent)
    return lambda _: 100 * random.random() < percent


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)])
def test_a_fault_that_hits_all_arms_takes_none_out(tmp_path: Path, shares: tuple[float, float]) -> None:
    for outage in (15, 60, 500):
        alone = Alone(tmp_path, shares)
        assert not alone.ask(2000, good)
        assert not alone.ask(outage, bad)
        assert not alone.ask(500, good)
        assert not alone.ask(outage, good, slow=True)


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)])
def test_chance_takes_no_arm_out(tmp_path: Path, shares: tuple[float, float]) -> None:
    for percent in (3, 30):
        assert not Alone(tmp_path, shares).ask(2000, by_chance(percent))


def test_an_arm_that_fails_from_its_start_goes_after_its_first_hundred_answers(tmp_path: Path) -> None:
    for share, least, most in ((0.5, 150, 300), (0.1, 700, 1500)):
        alone = Alone(tmp_path, (1 - share, share))
        assert alone.ask(3000, lambda arm: arm == "other") == {"other"}
        assert least < alone.asked < most


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)])
@pytest.mark.parametrize("broken", ["reference", "other"])
def test_an_arm_that_fails_alone_is_taken_out_soon(tmp_path: Path, shares: tuple[float, float], broken: str) -> None:
    alone = Alone(tmp_path, shares)
    assert not alone.ask(2000, good)
    assert alone.ask(100, lambda arm: arm == broken) == {broken}
    # Of ten, one fails: that takes longer to see, but it is seen.
    alone = Alone(tmp_path, shares)
    assert alone.ask(5000, lambda arm: arm == broken and alone.random.random() < 0.1) == {broken}


def test_an_arm_without_clients_is_no_better(tmp_path: Path) -> None:
    alone = Alone(tmp_path, (0.99999, 0.00001))
    assert not alone.ask(500, bad), "the other arm has no answers"
    alone = Alone(tmp_path, (0.5, 0.5))
    alone.ask(500, good)
    alone.experiment = files.update(alone.experiment, arms={"reference": 1.0, "other": 0.0})
    for _ in range(20):  # of clients who were assigned before
        alone.guard.observe(alone.experiment, "other", False, 10)
        assert not alone.ask(10, bad), "the other arm was paused on purpose"


def test_what_ails_all_arms_or_is_a_picture_s_own_takes_none_out(
    front: Front, moody: Moody, open_client: TestClient
) -> None:
    begin(front, guard={"errors": 0.1, "answers": 10})
    who = [f"client{number}" for number in range(40)]
    for name in who:
        entry(open_client, name)

    def everybody(content: bytes = PICTURE) -> set[int]:
        return {open_client.post(CLASSIFY, content=content, headers={"X-Client-Id": name}).status_code for name in who}

    assert everybody(b"damaged") == {422}
    front.runtime.dead = True
    assert everybody() == {503}
    front.runtime.dead = False
    front.gateway.turns.at_once, front.gateway.turns.waiting = 1, -1  # full queues
    assert everybody() == {503}
    front.gateway.turns.waiting = 64
    assert everybody() == {200}
    assert not files.read(files.file_of(folder(front), "halves")).removed
    assert not any(front.gateway.running.out.values())


def test_a_removal_that_cannot_be_written_holds_all_the_same(
    front: Front, moody: Moody, open_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PAUSE", 0.1)
    begin(front, guard={"errors": 0.2, "answers": 10})
    write, full = files.write, True

    def fail(*arguments: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(files, "write", fail)
    moody.moods["transfer"] = broken
    who = [f"client{number}" for number in range(60)]
    for name in who:
        open_client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": name})
    assert {entry(open_client, name) for name in who} == {"baseline"}
    assert not files.read(files.file_of(folder(front), "halves")).removed
    full = False
    until(lambda: "transfer" in files.read(files.file_of(folder(front), "halves")).removed)
    assert {entry(open_client, name) for name in who} == {"baseline"}
