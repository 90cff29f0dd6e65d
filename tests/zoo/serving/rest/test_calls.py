"""The calls of all three ports, without a network: answers and refusals."""

import re

import pytest

from tests.zoo.serving.rest.calls import BASELINE, SAGAN, TRANSFER, Server
from zoo.serving.rest import metrics

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
