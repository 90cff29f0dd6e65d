"""What docs/security.md promises, of real servers."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc  # tensorboard brings it along
import httpx
import psutil
import pytest

from tests.faults.conftest import Reliability
from tests.faults.small_zoo import EXPLANATIONS, PREDICTIONS, Served, serving
from tests.servers import SERVED_BY, processes, start
from zoo.serving.rest import process as hosted
from zoo.serving.runtime import ALL_NETWORKS, LOOPBACK
from zoo.serving.torchserve import process as torchserve
from zoo.study import ROOT

pytestmark = [pytest.mark.thorough, pytest.mark.server]

PORTS = {"torchserve": torchserve.PORTS, "local": hosted.PORTS, "ray": hosted.PORTS}
"""What listens on port, port + 1, ..., by runtime."""

METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH")

PATHS = {
    0: [
        *PREDICTIONS.values(),
        EXPLANATIONS,
        "/predictions/nobody",
        "/predictions/lesion_classifier/baseline?x=/api-description",
        "/invocations?model_name=lesion_classifier",
        "/models/lesion_classifier/invoke",
        "/wfpredict/x",
        "/v1/models/lesion_classifier:predict",
        "/v2/models/lesion_classifier/infer",
        "/v2/health/live",
        "/metrics/../ping",
        "/models",
    ],
    1: [
        "/models",
        "/models/lesion_classifier",
        "/models/lesion_classifier/all",
        "/models/lesion_classifier/baseline?customized=true",
        "/models/lesion_classifier/baseline/set-default",
        "/models?url=x.mar",
        "/workflows",
        "/workflows?url=x.war",
        "/token?type=inference",
        "/token?type=management",
        "/api-descriptio",
    ],
    2: ["/models", "/token?type=inference"],
}
"""What is asked on each port, from the first on, beside what all are asked."""

COMMON = ["/", "/ping", "/metrics", "/api-description", "/nothing", "/%2e%2e/%2e%2e/etc/passwd"]

INFERENCE, MANAGEMENT = (
    "org.pytorch.serve.grpc.inference.InferenceAPIsService",
    "org.pytorch.serve.grpc.management.ManagementAPIsService",
)
GRPC = {
    3: (INFERENCE, ("Ping", "Predictions", "StreamPredictions")),
    4: (MANAGEMENT, ("ListModels", "DescribeModel", "RegisterModel", "UnregisterModel", "ScaleWorker", "SetDefault")),
}


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("security"), request.param) as served:
        yield served


def listening(served: Served) -> dict[int, str]:
    """The address of each port that the server or its workers listen on."""
    connections = [one for process in processes(served.folder) for one in process.net_connections()]
    return {
        one.laddr.port: one.laddr.ip.removeprefix("::ffff:") for one in connections if one.status == psutil.CONN_LISTEN
    }


def test_it_listens_on_the_loopback_only(served: Served, reliability: Reliability) -> None:
    row = reliability.row("every address that a server listens on", "127.0.0.1")
    addresses = listening(served)
    ours = dict.fromkeys(range(served.port, served.port + len(PORTS[served.runtime])), LOOPBACK)
    assert ours.items() <= addresses.items()
    assert set(addresses.values()) == {LOOPBACK}
    assert served.runtime == "ray" or addresses == ours  # Ray has ports of its own
    row.tried, row.seen = len(addresses), f"{len(addresses)} ports, all of {LOOPBACK}"


def documented(runtime: str) -> set[tuple[int, str, str]]:
    """What docs/security.md lists: port (from the first on), method and path of what answers without a token."""
    page = (ROOT / "docs" / "security.md").read_text()
    if runtime != "torchserve":
        assert "only `GET /metrics` on port 8082 answers without a token" in " ".join(page.split())
        return {(2, "GET", "/metrics"), (2, "HEAD", "/metrics")}
    text = page.partition("## What answers without a token")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (80\d\d) \| (?:any method, )?`(?:([A-Z]+) )?(/\S*)` \|", text, re.MULTILINE)
    assert len(rows) >= 5
    return {
        (int(port) - 8080, method, path) for port, named, path in rows for method in ([named] if named else METHODS)
    }


def offered(http: httpx.Client) -> set[str]:
    """Every path that TorchServe itself says a port has, with names of ours in it."""
    names = {"model_name": "lesion_classifier", "model_version": "baseline", "workflow_name": "x"}
    paths = http.get("/api-description").json()["paths"]
    return {re.sub(r"\{(\w+)\}", lambda match: names[match[1]], path) for path in paths}


def test_without_a_token_just_what_the_docs_list_answers(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "calls without a token: all that there are, and others",
        "only what docs/security.md lists is answered",
    )
    answered = set()
    for offset, own in PATHS.items():
        with served.http(None, offset) as http:
            offers: set[str] = set()
            if served.runtime == "torchserve":
                offers = offered(http)
                assert len(offers) >= {0: 5, 1: 6, 2: 1}[offset], offers
            for path in sorted({*COMMON, *own, *offers}):
                for method in METHODS:
                    answer = http.request(method, path)
                    assert answer.status_code < 500
                    row.tried += 1
                    if answer.status_code < 400:
                        answered.add((offset, method, path))
    assert answered == documented(served.runtime)
    row.seen = f"{len(answered)} of them answered, as listed"


@pytest.mark.parametrize("kind_of_wrong", ["other", "short", "longer", "basic", "bare", "none"])
def test_a_wrong_token_opens_nothing(kind_of_wrong: str, served: Served, reliability: Reliability) -> None:
    row = reliability.row(f"a token that is wrong ({kind_of_wrong})", "400, and never an answer")
    keys = served.keys()
    for offset, kind, path in (
        (0, "inference", "/ping"),
        (0, "inference", PREDICTIONS["classifier"]),
        (1, "management", "/models"),
        (1, "management", "/workflows"),
        (1, "API", "/token?type=inference"),
    ):
        key = keys[kind]
        others = [other for other in keys.values() if other != key]
        wrong = {
            "other": [f"Bearer {other}" for other in others],
            "short": [f"Bearer {key[:-1]}"],
            "longer": [f"Bearer {key}x"],
            "basic": [f"Basic {key}"],
            "bare": [key],
            "none": ["Bearer", "Bearer null", "x"],
        }[kind_of_wrong]
        for header in wrong:
            with served.http(None, offset) as http:
                answer = http.get(path, headers={"Authorization": header})
            assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException")
            assert not any(key in answer.text for key in keys.values())
            row.tried += 1
    row.seen = "all of them refused"
    with served.http() as http:
        assert http.get("/ping").status_code == 200


def call(port: int, method: str, key: str | None) -> grpc.StatusCode:
    """The status of a gRPC call of a method by its full name."""
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        metadata = () if key is None else (("authorization", f"Bearer {key}"),)
        try:
            channel.unary_unary(method)(b"\x0a\x11lesion_classifier", timeout=10, metadata=metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("served", ["torchserve"], indirect=True)  # no other runtime has gRPC
def test_grpc_is_closed_without_a_token_and_loads_nothing_with_one(served: Served, reliability: Reliability) -> None:
    row = reliability.row("gRPC calls without a token, and of models with one", "PERMISSION_DENIED")
    keys = served.keys()
    for offset, (service, methods) in GRPC.items():
        for method in methods:
            for key in (None, "wrong", keys["API"], keys["management" if offset == 3 else "inference"]):
                assert call(served.port + offset, f"/{service}/{method}", key) is grpc.StatusCode.PERMISSION_DENIED
                row.tried += 1
    assert call(served.port + 3, f"/{INFERENCE}/Ping", keys["inference"]) is grpc.StatusCode.OK
    for method in ("RegisterModel", "UnregisterModel"):
        denied = call(served.port + 4, f"/{MANAGEMENT}/{method}", keys["management"])
        assert denied is grpc.StatusCode.PERMISSION_DENIED
        row.tried += 1
    row.seen = "all of them denied"


@pytest.mark.parametrize("runtime", SERVED_BY)
def test_a_server_for_other_machines_opens_inference_and_nothing_else(
    tmp_path: Path, reliability: Reliability, capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    row = reliability.row(
        "make serve HOST=0.0.0.0", "inference by REST listens everywhere, with tokens; all else does not"
    )
    ports = PORTS[runtime]
    with serving(tmp_path, runtime, ALL_NETWORKS, ("generator",)) as opened:
        output = capsys.readouterr().out
        warnings = [line for line in output.splitlines() if line.startswith("warning:")]
        assert len(warnings) == 1
        assert "unencrypted" in warnings[0]
        addresses = listening(opened)
        assert addresses.pop(opened.port) in {ALL_NETWORKS, "::"}
        others = set(range(opened.port + 1, opened.port + len(ports)))
        assert others <= set(addresses)
        assert runtime == "ray" or set(addresses) == others
        assert set(addresses.values()) == {LOOPBACK}
        address = next(
            (
                a.address
                for own in psutil.net_if_addrs().values()
                for a in own
                if "." in a.address and a.address != LOOPBACK
            ),
            "127.0.0.2",  # the loopback has more addresses than the one
        )
        request = {"json": {"class": "mel"}, "timeout": 30}
        url = f"http://{address}:{opened.port}{PREDICTIONS['generator']}"
        with httpx.Client(trust_env=False) as client:
            assert client.post(url, **request).json()["type"] == "InvalidKeyException"  # type: ignore[arg-type]
            bearer = {"Authorization": f"Bearer {opened.keys()['inference']}"}
            assert client.post(url, headers=bearer, **request).json()["class"] == "mel"  # type: ignore[arg-type]
            for port in range(opened.port + 1, opened.port + len(ports)):
                with pytest.raises(httpx.ConnectError):
                    client.get(f"http://{address}:{port}/metrics")
        start(opened.store, opened.folder, opened.port, host=ALL_NETWORKS, runtime=runtime)
        assert "already running" in capsys.readouterr().out
    row.tried, row.seen = 1, "just that"
