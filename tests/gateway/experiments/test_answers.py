"""Who answers, through the gateway's calls: arms, shadows, the guard; and changes of the file, which count at once."""

import asyncio
import base64
import json
import os
import runpy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from gateway.backend import Question, Reply
from gateway.classify import Caller, _is_kept, classify
from gateway.events.deletion import forget
from gateway.events.tables import ANSWERS
from gateway.events.writer import Writer
from gateway.experiments import files, guard, shadows
from gateway.experiments.experiment import Experiment
from gateway.experiments.running import Plan
from gateway.metrics import Metrics
from gateway.pictures import Picture
from tests.gateway.calls import PICTURE, Front, Runtime, problem
from zoo.serving.local import quota

CLASSIFY = "/v1/classify"
HALVES = {"baseline": 0.5, "transfer": 0.5}


class Moody(Runtime):
    """A runtime whose versions may fail, sleep or break."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: dict[str, Callable[[], Any]] = {}

    async def answer(self, question: Question) -> Reply:
        if mood := self.moods.get(question.version or ""):
            made = mood()
            if isinstance(made, Reply):
                return made
            await made
        return await super().answer(question)


@pytest.fixture
def moody(front: Front) -> Moody:
    front.runtime = front.gateway.backend = Moody()
    return front.runtime


@pytest.fixture
def open_client(front: Front) -> Iterator[TestClient]:
    """One whose event loop lives on between calls, as a server's does: what runs behind answers needs it."""
    with front.client(rate="100000/minute") as client:
        yield client


def folder(front: Front) -> Path:
    return front.gateway.settings.runs / files.FOLDER


def begin(front: Front, name: str = "halves", arms: dict[str, float] | None = None, **fields: Any) -> Experiment:
    fields = {"name": name, "started": time.time(), "arms": arms or HALVES} | fields
    return files.start(folder(front), files.create(**fields))


def entry(client: TestClient, who: str, path: str = CLASSIFY) -> str:
    answer = client.post(path, content=PICTURE, headers={"X-Client-Id": who})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["entry"])


def events(front: Front) -> list[Any]:
    """All answers that are written, when none waits any more."""
    writer = front.gateway.events
    deadline = time.monotonic() + 20
    while writer._rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with writer.engine.connect() as connection:
        return list(connection.execute(select(ANSWERS).order_by(ANSWERS.c.time)))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_a_client_stays_with_its_arm(front: Front, client: TestClient) -> None:
    begin(front)
    arms = {f"client {n}".replace(" ", "-"): "" for n in range(60)}
    for who in arms:
        arms[who] = entry(client, who)
    counts = Counter(arms.values())
    assert min(counts["baseline"], counts["transfer"]) > 15
    assert all(entry(client, who) == arm for who, arm in arms.items())
    # Another key's client of the same name is another one, and a key without clients is one itself.
    other = front.client(name="other")
    assert {who: entry(other, who) for who in arms} != arms
    assert len({client.post(CLASSIFY, content=PICTURE).json()["entry"] for _ in range(20)}) == 1
    rows = events(front)
    assert len({row.client for row in rows}) == 60 + 60 + 1
    assert all(row.experiment == "halves" and len(row.client) == 64 for row in rows)


def test_it_holds_for_calls_without_a_version_alone(front: Front, client: TestClient) -> None:
    begin(front, arms={"baseline": 0.0, "transfer": 1.0})
    assert entry(client, "anna") == "transfer"
    assert entry(client, "anna", f"{CLASSIFY}/baseline") == "baseline"
    request = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PICTURE).decode()]}]
    }
    infer = client.post("/v2/models/lesion_classifier/infer", json=request, headers={"X-Client-Id": "anna"})
    assert infer.json()["model_version"] == "baseline"
    rows = events(front)
    assert [(row.experiment, row.arm) for row in rows] == [
        ("halves", "transfer"),
        (None, "baseline"),
        (None, "baseline"),
    ]
    assert infer.json()["outputs"][2]["data"] == [rows[2].id]


def test_changes_count_at_once(front: Front, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway")
    assert entry(client, "anna") == "baseline"
    begin(front, arms={"baseline": 0.0, "transfer": 1.0})
    assert entry(client, "anna") == "transfer"
    begin(front, arms={"baseline": 1.0, "transfer": 0.0})
    assert entry(client, "anna") == "baseline"
    removed = {"baseline": {"time": 1.0, "reason": "slow"}}
    files.change(folder(front), "halves", lambda one: files.update(one, removed=removed))
    assert entry(client, "anna") == "transfer"
    file = files.file_of(folder(front), "halves")
    good = file.read_text()
    file.write_text(good.replace("[arms]", "[arms"))  # in place, as some editors do
    assert entry(client, "anna") == "baseline", "the default answers"
    assert "mend it, or delete it" in caplog.text
    file.write_text(good)
    assert entry(client, "anna") == "transfer"
    files.change(folder(front), "halves", lambda one: files.update(one, ended=2.0))
    assert entry(client, "anna") == "baseline"
    begin(front, "next", arms={"baseline": 0.0, "transfer": 1.0})
    assert entry(client, "anna") == "transfer"
    files.file_of(folder(front), "next").unlink()
    assert entry(client, "anna") == "baseline"


def test_several_pictures_have_an_id_each(front: Front, client: TestClient) -> None:
    begin(front)
    encoded = [base64.b64encode(picture).decode() for picture in (PICTURE, b"bad", b"other")]
    rows = client.post(CLASSIFY, json=encoded).json()["answers"]
    assert [row["status"] for row in rows] == [200, 422, 200]
    ids = [row["answer"]["id"] for row in rows if "answer" in row]
    written = events(front)
    assert sorted(row.id for row in written) == sorted(ids), "a picture that cannot be read is no event"
    assert len({row.arm for row in written}) == 1


@pytest.mark.parametrize("name", [b"", b"a b", b"a" * 129, "größe".encode(), b"a\tb"])
def test_what_a_client_cannot_call_itself(client: TestClient, name: bytes) -> None:
    problem(client.post(CLASSIFY, content=PICTURE, headers={b"X-Client-Id": name}), 422, "X-Client-Id")


def test_a_name_is_hashed_and_nothing_more(client: TestClient) -> None:
    assert client.post(CLASSIFY, content=PICTURE, headers={"X-Client-Id": "../../etc"}).status_code == 200


def test_an_arm_that_is_not_served(front: Front, client: TestClient) -> None:
    begin(front, arms={"baseline": 0.0, "nobody": 1.0})
    answer = client.post(CLASSIFY, content=PICTURE)
    problem(answer, 503, "the arm nobody is not served")
    assert answer.headers["Retry-After"]
    problem(client.post(f"{CLASSIFY}/nobody", content=PICTURE), 404)
    [row] = events(front)
    assert (row.arm, row.status, row.probabilities) == ("nobody", 503, None)


def broken() -> Reply:
    return Reply(500, "application/json", b'{"message": "Worker died."}')


@pytest.mark.parametrize("shadow", ["crash", "sleep", "nonsense", "refuse", "absent"])
def test_what_a_shadow_does_changes_no_answer(
    front: Front, moody: Moody, open_client: TestClient, shadow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_WAITING", 64 if shadow == "sleep" else 1000)
    monkeypatch.setattr(shadows, "FREE", 15)  # as if there were sixteen processors

    def crash() -> Reply:
        raise RuntimeError("a bug")

    moods: dict[str, Callable[[], Any]] = {
        "crash": crash,
        "sleep": lambda: asyncio.sleep(3600),
        "nonsense": lambda: Reply(200, "application/json", b"[]"),
        "refuse": broken,
    }
    name = "absent" if shadow == "absent" else "transfer"
    if shadow in moods:
        moody.moods["transfer"] = moods[shadow]
    begin(front, arms={"baseline": 1.0}, shadows=(name,))
    answers = [open_client.post(CLASSIFY, content=PICTURE) for _ in range(100)]
    assert {answer.json()["entry"] for answer in answers} == {"baseline"}
    if shadow != "sleep":
        until(lambda: not front.gateway.shadows._waiting)
        until(lambda: len(events(front)) == 200)
    rows = events(front)
    seen, unseen = ([row for row in rows if (row.shadow_of is None) == own] for own in (True, False))
    assert {row.id for row in seen} == {answer.json()["id"] for answer in answers}
    assert all(row.status != 200 and row.arm == name for row in unseen)
    text = front.gateway.metrics.text().decode()
    if shadow == "sleep":  # two are asked, 64 wait
        assert 'gateway_shadows_total{outcome="dropped"} 34.0' in text
    else:
        assert {row.shadow_of for row in unseen} == {row.id for row in seen}
        assert 'gateway_shadows_total{outcome="failed"} 100.0' in text


def test_shadows_know_a_container_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "FILE", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    assert runpy.run_path(shadows.__file__)["FREE"] == 2


def test_a_shadow_answers_unseen(front: Front, open_client: TestClient) -> None:
    begin(front, arms={"baseline": 1.0}, shadows=("transfer",))
    answer = open_client.post(CLASSIFY, content=PICTURE).json()
    assert answer["entry"] == "baseline"
    until(lambda: len(events(front)) == 2)
    seen, unseen = sorted(events(front), key=lambda row: row.shadow_of or "")
    assert (seen.id, seen.arm, unseen.arm) == (answer["id"], "baseline", "transfer")
    assert (unseen.shadow_of, unseen.client, unseen.picture) == (seen.id, seen.client, seen.picture)
    assert [asked.unseen for asked in front.runtime.asked] == [False, True]
    assert open_client.post("/v1/feedback", json={"id": unseen.id, "label": "mel"}).status_code == 404


def test_a_shadow_leaves_nothing_of_a_client_that_was_forgotten(
    front: Front, moody: Moody, open_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "FREE", 15)
    asked: list[bool] = []

    async def slow() -> None:
        while not asked:
            await asyncio.sleep(0.01)

    moody.moods["transfer"] = slow
    begin(front, arms={"baseline": 1.0}, shadows=("transfer",))
    for who in ["anna"] * 6 + ["bert"]:
        entry(open_client, who)
    until(lambda: len(events(front)) == 7)
    anna, bert = events(front)[0].client, events(front)[-1].client
    assert forget(front.gateway.events.engine, [anna]) == (6, 0)
    asked.append(True)
    until(lambda: 'gateway_shadows_total{outcome="answered"} 7.0' in front.gateway.metrics.text().decode())
    assert [(row.client, row.arm) for row in events(front)] == [(bert, "baseline"), (bert, "transfer")]


def test_a_shadow_is_kept_while_nobody_can_tell() -> None:
    writer = Writer("postgresql://zoo@127.0.0.1:1/nothing", 365, Metrics())
    assert _is_kept(writer, "0" * 32)
    writer.close(1)


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


def test_nothing_of_a_picture_or_a_name_is_kept(front: Front, client: TestClient) -> None:
    entry(client, "anna-of-the-clinic")
    assert events(front)
    kept = b"".join(file.read_bytes() for file in front.gateway.settings.runs.glob("events*") if file.suffix != ".key")
    assert b"anna" not in kept
    assert PICTURE not in kept
    assert json.dumps("a picture").encode()[1:-1] not in kept
    assert (front.gateway.settings.runs / "events.key").stat().st_mode & 0o077 == 0
