"""The calls of all three ports, without a network: answers, refusals, limits, and clients that hang up."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.zoo.serving.rest.calls import BASELINE, Echo, Server, Wire, until
from zoo.serving.local.threads import Threads
from zoo.serving.local.workers import Workers
from zoo.serving.rest import inference, metrics, worker
from zoo.serving.service import Answer, Call
from zoo.serving.torchserve.archiver import settings
from zoo.serving.torchserve.process import BASE

TRANSFER, SAGAN = BASELINE.replace("baseline", "transfer"), "/predictions/lesion_generator/sagan"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_limits_are_those_of_torchserve() -> None:
    own = BASE.read_text()
    assert re.search(rf"^job_queue_size={worker.MOST_WAITING}$", own, re.MULTILINE)
    assert f"responseTimeout: {inference.SECONDS}\n" in settings(8)


# ---- inference


def test_a_body_is_handed_on_as_it_is(server: Server) -> None:
    answer = server.client().post(BASELINE, content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert body["headers"].items() >= {"content-type": "image/jpeg", "content-length": "2"}.items()
    assert body | {"headers": {}} == {
        "entry": "baseline",
        "explain": False,
        "fields": {"body": repr(b"\xff\xd8")},
        "headers": {},
    }


def test_the_url_s_parameters_are_not_read(server: Server) -> None:
    answer = server.client().post(f"{BASELINE}?class=mel", content=b"\xff\xd8")
    assert answer.status_code == 400
    assert answer.json()["message"] == "'class' in the URL is not read; send it in the body"
    assert not server.echoes["baseline"].asked


def test_a_form_is_handed_on_field_by_field(server: Server) -> None:
    answer = server.client().post(BASELINE, files={"Mole": ("m.png", b"1", "image/png")}, data={"class": "mel"})
    assert answer.json()["fields"] == {"Mole": repr(b"1"), "class": repr(b"mel")}
    assert answer.json()["headers"]["mole"] == {"content-type": "image/png"}


def test_a_damaged_form_is_a_400(server: Server) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in (BASELINE, SAGAN, BASELINE.replace("predictions", "explanations")):
        answer = server.client().post(path, content=b"--x\r\n\r\n", headers=headers)
        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["type"]) == (400, "BadRequest")
    assert not any(echo.asked for echo in server.echoes.values())


@pytest.mark.parametrize("path", ["explanations/lesion_classifier/transfer", "explanations/lesion_classifier"])
def test_an_explanation_is_asked_for(server: Server, path: str) -> None:
    assert server.client().post(f"/{path}", content=b"x").json()["explain"]


def test_the_default_version_answers_where_none_is_named(server: Server) -> None:
    path = BASELINE.removesuffix("/baseline")
    assert server.client().post(path, content=b"x").json()["entry"] == "baseline"
    management = server.client("management", 1)
    answer = management.put("/models/lesion_classifier/transfer/set-default")
    assert (answer.status_code, list(answer.json())) == (200, ["status"])
    assert server.client().post(path, content=b"x").json()["entry"] == "transfer"
    assert server.client().post("/predictions/lesion_generator", content=b"x").json()["entry"] == "sagan"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "message"),
    [
        ("POST", "/predictions/nobody", 404, "ModelNotFoundException", "Model not found: nobody"),
        ("POST", "/explanations/nobody/baseline", 404, "ModelNotFoundException", "Model not found: nobody"),
        (
            "POST",
            "/predictions/lesion_classifier/sagan",
            404,
            "ModelVersionNotFoundException",
            "Model version: sagan does not exist for model: lesion_classifier",
        ),
        ("POST", "/predictions", 404, "ResourceNotFoundException", "Requested resource is not found"),
        ("POST", f"{BASELINE}/", 404, "ResourceNotFoundException", "Requested resource is not found"),
        ("POST", "/models", 404, "ResourceNotFoundException", "Requested resource is not found"),
        ("GET", BASELINE, 405, "MethodNotAllowedException", "Requested method is not allowed"),
        ("DELETE", "/ping", 405, "MethodNotAllowedException", "Requested method is not allowed"),
    ],
)
def test_what_is_not_there(server: Server, method: str, path: str, status: int, kind: str, message: str) -> None:
    answer = server.client().request(method, path, content=b"x")
    assert (answer.status_code, answer.json()["code"], answer.json()["type"]) == (status, status, kind)
    assert answer.json()["message"].startswith(message)
    assert answer.headers["Content-Type"] == "application/json"


def test_a_failure_of_ours_says_nothing_of_the_inside_and_harms_nobody(server: Server) -> None:
    answer = server.client().post(BASELINE, content=b"fail")
    assert answer.status_code == 500
    assert answer.json()["type"] == "InternalServerException"
    assert "secret" not in answer.text
    assert server.client().post(BASELINE, content=b"x").status_code == 200


# ---- limits


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


# ---- management


def test_versions_are_described(server: Server) -> None:
    client = server.client("management", 1)
    listed = client.get("/models").json()["models"]
    assert listed == [
        {"modelName": "lesion_classifier", "modelUrl": "baseline.mar"},
        {"modelName": "lesion_generator", "modelUrl": "sagan.mar"},
    ]
    rows = client.get("/models/lesion_classifier/all").json()
    assert [(row["modelVersion"], row["defaultVersion"]) for row in rows] == [("baseline", True), ("transfer", False)]
    assert all(row["workers"][0]["status"] == "READY" for row in rows)
    assert not any("customizedMetadata" in row for row in rows)
    assert client.get("/models/lesion_classifier").json() == rows[:1]
    [row] = client.get("/models/lesion_classifier/transfer", params={"customized": "true"}).json()
    assert row == rows[1] | {"customizedMetadata": {"entry": "transfer", "scores": {"valid": [1, None]}}}  # no null


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models/nobody", 404),
        ("GET", "/models/nobody/all", 404),
        ("GET", "/models/lesion_classifier/nobody", 404),
        ("PUT", "/models/lesion_classifier/nobody/set-default", 404),
        ("PUT", "/models/lesion_classifier/all/set-default", 404),
        ("GET", "/workflows", 404),
        ("POST", "/models?url=x.mar", 405),
        ("DELETE", "/models/lesion_classifier/baseline", 405),
        ("PUT", "/models/lesion_classifier", 405),
    ],
)
def test_what_management_refuses(server: Server, method: str, path: str, status: int) -> None:
    answer = server.client("management", 1).request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, status)


# ---- metrics


def test_requests_are_counted_by_version(server: Server) -> None:
    client, open_to_all = server.client(), server.client(None, 2)
    assert open_to_all.get("/metrics").text.count("\n# TYPE") == len(metrics.FAMILIES)
    for path in (BASELINE, TRANSFER, BASELINE.removesuffix("/baseline"), f"{BASELINE}x"):
        client.post(path, content=b"x")
    answer = open_to_all.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = dict(re.findall(r"^(\w+\{.*\}) (\d+)$", answer.text, re.MULTILINE))
    assert len(values) == 2 * len(metrics.FAMILIES)
    for version, count in (("baseline", "2"), ("transfer", "1")):
        labels = f'{{model_name="lesion_classifier",model_version="{version}"}}'
        assert values[f"ts_inference_requests_total{labels}"] == count
        latency, queue = (int(values[f"ts_{name}_latency_microseconds{labels}"]) for name in ("inference", "queue"))
        assert 0 <= queue <= latency < 10_000_000
    assert [open_to_all.get(path).status_code for path in ("/", "/models", "/ping", "/token")] == [404] * 4
    assert open_to_all.post("/metrics").status_code == 405
