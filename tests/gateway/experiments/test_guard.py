"""The guard takes out an arm that fails or is slow, and no other."""

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.classify import Caller, classify
from gateway.experiments import files, guard
from gateway.experiments.running import Plan
from gateway.pictures import Picture
from tests.gateway.calls import PICTURE, Front, problem
from tests.gateway.experiments.live import CLASSIFY, HALVES, Moody, begin, broken, entry, events, folder, until


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
    assert files.read(file).removed["transfer"].reason == "5 of its last 20 answers were failures"
    assert files.read(file).arms == HALVES
    # The last arm is never taken out, however it fails; put back by hand, the other one answers again.
    moody.moods = {"baseline": broken}
    for name in who:
        problem(open_client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": name}), 503)
    files.change(folder(front), "halves", lambda one: files.update(one, removed={}))
    arms = [name for name in who if before[name] == "transfer"]
    assert {entry(open_client, name) for name in arms} == {"transfer"}


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
    started = begin(front, guard={"answers": 10})
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
            await ask(f"{number:064x}")
        await asyncio.to_thread(until, lambda: files.read(files.file_of(folder(front), "halves")).removed)

    asyncio.run(ask_all())
    assert list(files.read(files.file_of(folder(front), "halves")).removed) == ["transfer"]
    until(lambda: len(events(front)) == 10)
    assert {(row.arm, row.status, row.probabilities) for row in events(front)} == {("transfer", 499, None)}


def test_what_ails_all_arms_or_is_a_picture_s_own_takes_none_out(
    front: Front, moody: Moody, open_client: TestClient
) -> None:
    begin(front, guard={"errors": 0.1, "answers": 10})
    who = [f"client{number}" for number in range(40)]
    for name in who:
        entry(open_client, name)

    def everybody(content: bytes = PICTURE) -> set[int]:
        return {open_client.post(CLASSIFY, content=content, headers={"X-Client-Id": name}).status_code for name in who}

    assert everybody(b"bad") == {422}
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
