"""Feedback: early, late, repeated, contradictory and wrong."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from starlette.testclient import TestClient

from gateway.events.clients import Clients
from gateway.events.tables import ANSWERS, FEEDBACK
from tests.gateway.calls import PICTURE, Front, problem

PATH = "/v1/feedback"


def ask(client: TestClient) -> str:
    return str(client.post("/v1/classify/transfer", content=PICTURE).json()["id"])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.mark.parametrize("written", [False, True])
def test_the_last_counts(front: Front, client: TestClient, written: bool) -> None:
    def wait() -> None:
        if written:
            until(lambda: not front.gateway.events._rows)

    answer = ask(client)
    wait()
    seen = []
    for label in ("mel", "mel", "nv"):
        sent = client.post(PATH, json={"id": answer, "label": label})
        assert sent.status_code == 202, sent.text
        seen.append((sent.json()["label"], sent.json()["before"], sent.json()["kind"]))
        wait()
    assert seen == [("mel", None, "first"), ("mel", "mel", "same"), ("nv", "mel", "other")]
    until(lambda: not front.gateway.events._rows)
    with front.gateway.events.engine.connect() as connection:
        rows = list(connection.execute(select(FEEDBACK).order_by(FEEDBACK.c.number)))
    assert [(row.answer, row.label, row.key) for row in rows] == [
        (answer, label, "tests") for label in ("mel", "mel", "nv")
    ]
    assert 'gateway_feedback_total{kind="other"} 1.0' in front.gateway.metrics.text().decode()


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b'{"id": "%s", "label": "mel"}' % (b"0" * 32), 404, "no answer has the id"),
        (b'{"id": "%s", "label": "melanoma"}' % (b"0" * 32), 422, "'melanoma' is none of akiec"),
        (b'{"id": "0", "label": "mel"}', 422, "id"),
        (b'{"id": "%s"}' % (b"0" * 32), 422, "label"),
        (b'{"id": "%s", "label": "mel", "who": "me"}' % (b"0" * 32), 422, "who"),
        (b"[]", 422, "the body"),
        (b"{", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b" " * 20_000, 413, "bytes"),
    ],
)
def test_what_is_refused(client: TestClient, content: bytes, status: int, message: str) -> None:
    problem(client.post(PATH, content=content), status, message)


def test_another_key_may_say_what_it_was_and_one_without_the_scope_may_not(front: Front, client: TestClient) -> None:
    answer = ask(client)
    problem(
        front.client(["classify"], name="camera").post(PATH, json={"id": answer, "label": "mel"}), 403, "not feedback"
    )
    assert front.client(["feedback"], name="clinic").post(PATH, json={"id": answer, "label": "mel"}).status_code == 202


def test_late_feedback_is_taken_as_long_as_the_answer_is_kept(front: Front, client: TestClient) -> None:
    answer = ask(client)
    until(lambda: not front.gateway.events._rows)
    with front.gateway.events.engine.begin() as connection:
        connection.execute(update(ANSWERS).values(time=time.time() - 300 * 86_400))
    assert client.post(PATH, json={"id": answer, "label": "mel"}).status_code == 202
    with front.gateway.events.engine.begin() as connection:
        connection.execute(delete(ANSWERS))
    until(lambda: not front.gateway.events._rows)
    problem(client.post(PATH, json={"id": answer, "label": "mel"}), 404, "or it is too old")


def test_without_a_database(front: Front, client: TestClient) -> None:
    early = ask(client)
    until(lambda: not front.gateway.events._rows)
    front.gateway.events.engine.dispose()
    file = front.gateway.settings.runs / "events.sqlite"
    for one in file.parent.glob("events.sqlite*"):
        one.unlink()
    file.mkdir()  # nothing can be read or written
    answer = client.post(PATH, json={"id": early, "label": "mel"})
    problem(answer, 503, "cannot be read now")
    assert answer.headers["Retry-After"] == "10"
    late = ask(client)  # answers go on
    assert client.post(PATH, json={"id": late, "label": "mel"}).status_code == 202
    file.rmdir()
    until(lambda: not front.gateway.events._rows)


def test_where_no_file_can_be_made(front: Front, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(client)
    until(lambda: not front.gateway.events._rows)

    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("gateway.events.lookup.make_tables", fail)
    refused = client.post(PATH, json={"id": answer, "label": "mel"})
    problem(refused, 503, "cannot be read now")


def test_clients_are_hashed_with_a_secret(tmp_path: Path) -> None:
    one, again, other = (Clients(tmp_path / runs, tmp_path / "keys") for runs in ("one", "one", "other"))
    assert one.hash("phone", "anna") == again.hash("phone", "anna") != other.hash("phone", "anna")
    hashes = {one.hash(key, name) for key in ("phone", "tablet") for name in (None, "anna", "phone", "tablet")}
    assert len(hashes) == 8
    assert all(len(hash) == 64 for hash in hashes)
    assert (tmp_path / "one" / "events.key").stat().st_mode & 0o077 == 0


def test_machines_with_a_secret_in_common_have_the_same_hashes(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "events.key").write_text("7" * 64)
    one, other = (Clients(tmp_path / runs, tmp_path / "keys") for runs in ("one", "other"))
    assert one.hash("phone", "anna") == other.hash("phone", "anna")
    assert not (tmp_path / "one").exists()


def test_without_its_secret_no_event_is_kept_and_answers_go_on(front: Front, client: TestClient) -> None:
    runs = front.gateway.settings.runs
    (runs / "events.key").write_text("cut")
    assert client.post("/v1/classify", content=PICTURE).status_code == 200
    until(lambda: not any(front.gateway.events._lost.values()))
    with front.gateway.events.engine.connect() as connection:
        assert not list(connection.execute(select(ANSWERS)))
    assert "gateway_events_lost_total 1.0" in front.gateway.metrics.text().decode()
