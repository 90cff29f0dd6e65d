"""Who answers, through the gateway's calls: arms, and changes of the file, which count at once."""

import base64
import json
from collections import Counter

import pytest
from starlette.testclient import TestClient

from gateway.experiments import files
from tests.gateway.calls import PICTURE, Front, problem
from tests.gateway.experiments.live import CLASSIFY, begin, entry, events, folder


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
    encoded = [base64.b64encode(picture).decode() for picture in (PICTURE, b"damaged", b"other")]
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


def test_nothing_of_a_picture_or_a_name_is_kept(front: Front, client: TestClient) -> None:
    entry(client, "anna-of-the-clinic")
    assert events(front)
    kept = b"".join(file.read_bytes() for file in front.gateway.settings.runs.glob("events*") if file.suffix != ".key")
    assert b"anna" not in kept
    assert PICTURE not in kept
    assert json.dumps("a picture").encode()[1:-1] not in kept
    assert (front.gateway.settings.runs / "events.key").stat().st_mode & 0o077 == 0
