"""Shadows answer unseen, and whatever they do changes no answer."""

import asyncio
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.backend import Reply, Unavailable
from gateway.classify import _is_kept
from gateway.events.deletion import forget
from gateway.events.writer import Writer
from gateway.experiments import shadows
from gateway.metrics import Metrics
from tests.gateway.calls import PICTURE, Front
from tests.gateway.experiments.live import CLASSIFY, Moody, begin, broken, entry, events, until
from zoo.serving.local import quota


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
    assert all(row.status >= 500 and row.arm == name for row in unseen), "the page counts these as errors"
    text = front.gateway.metrics.text().decode()
    if shadow == "sleep":  # two are asked, 64 wait
        assert 'gateway_shadows_total{outcome="dropped"} 34.0' in text
    else:
        assert {row.shadow_of for row in unseen} == {row.id for row in seen}
        assert 'gateway_shadows_total{outcome="failed"} 100.0' in text


@pytest.mark.parametrize("full", [True, False])
def test_a_full_queue_or_no_runtime_is_no_event_of_a_shadow(
    front: Front, moody: Moody, open_client: TestClient, full: bool
) -> None:
    def fail() -> Reply:
        if full:
            return Reply(503, "application/json", b'{"message": "the queue is full"}')
        raise Unavailable("the runtime does not answer")

    moody.moods["transfer"] = fail
    begin(front, arms={"baseline": 1.0}, shadows=("transfer",))
    entry(open_client, "anna")
    until(lambda: 'gateway_shadows_total{outcome="failed"} 1.0' in front.gateway.metrics.text().decode())
    assert [row.arm for row in events(front)] == ["baseline"]


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
