"""What SECURITY.md promises, of a real server."""

import http.server
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc  # tensorboard brings it along
import httpx
import psutil
import pytest

from compare.client import Zoo
from tests.faults.conftest import Reliability
from tests.faults.garbage import file_of, noise
from tests.faults.small_zoo import EXPLANATIONS, PREDICTIONS, Served, serving
from zoo.serving.torchserve.process import EVERYWHERE, LOOPBACK, PORTS, state
from zoo.serving.torchserve.server import logs, start, status, token
from zoo.study import ROOT

pytestmark = [pytest.mark.thorough, pytest.mark.server]

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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("security")) as served:
        yield served


def listening(served: Served) -> dict[int, str]:
    """The address of each port that the server or its workers listen on."""
    found = state(served.folder)
    assert found is not None
    server = psutil.Process(found["pid"])
    connections = [one for process in (server, *server.children(recursive=True)) for one in process.net_connections()]
    return {
        one.laddr.port: one.laddr.ip.removeprefix("::ffff:") for one in connections if one.status == psutil.CONN_LISTEN
    }


def test_it_listens_on_the_loopback_only(served: Served, reliability: Reliability) -> None:
    row = reliability.row("every address that a server listens on", "127.0.0.1")
    found = listening(served)
    assert found == dict.fromkeys(range(served.port, served.port + len(PORTS)), LOOPBACK)
    row.tried, row.seen = len(found), f"{len(found)} ports, all of {LOOPBACK}"


def documented() -> set[tuple[int, str, str]]:
    """The table of SECURITY.md: port (from the first on), method and path of what answers without a token."""
    text = (ROOT / "SECURITY.md").read_text().partition("## What answers without a token")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (80\d\d) \| (?:any method, )?`(?:([A-Z]+) )?(/\S*)` \|", text, re.MULTILINE)
    assert len(rows) >= 5
    return {
        (int(port) - 8080, method, path) for port, named, path in rows for method in ([named] if named else METHODS)
    }


def offered(http: httpx.Client) -> set[str]:
    """Every path that TorchServe itself says a port has, with names of ours in it."""
    names = {"model_name": "lesion_classifier", "model_version": "baseline", "workflow_name": "x"}
    said = http.get("/api-description").json()["paths"]
    return {re.sub(r"\{(\w+)\}", lambda found: names[found[1]], path) for path in said}


def test_without_a_token_just_what_the_docs_list_answers(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "calls without a token: all that TorchServe says there are, and others",
        "only what SECURITY.md lists is answered",
    )
    answered = set()
    for offset, own in PATHS.items():
        with served.http(None, offset) as http:
            known = offered(http)
            assert len(known) >= {0: 5, 1: 6, 2: 1}[offset], known
            for path in sorted({*COMMON, *own, *known}):
                for method in METHODS:
                    answer = http.request(method, path)
                    assert answer.status_code < 500
                    row.tried += 1
                    if answer.status_code < 400:
                        answered.add((offset, method, path))
    assert answered == documented()
    row.seen = f"{len(answered)} of them answered, as listed"


@pytest.mark.parametrize("given", ["other", "short", "longer", "basic", "bare", "none"])
def test_a_wrong_token_opens_nothing(given: str, served: Served, reliability: Reliability) -> None:
    row = reliability.row(f"a token that is wrong ({given})", "400, and never an answer")
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
        }[given]
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
            found: grpc.StatusCode = error.code()
            return found
    return grpc.StatusCode.OK


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


def workflow(file: Path, victim: Path) -> None:
    """A workflow that TorchServe takes, and whose code writes a file when it is loaded."""
    about = {"workflowName": file.stem, "workflowVersion": "1.0", "specFile": "workflow.yaml", "handler": "code.py"}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("WAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "workflow": about}))
        archive.writestr(
            "code.py", f"open({str(victim)!r}, 'w').close()\n\n\ndef step(data, context):\n    return data\n"
        )
        archive.writestr("workflow.yaml", "models:\n  min-workers: 1\n  max-workers: 1\ndag:\n  step: []\n")


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and tells nobody."""

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it has on the network."""
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), partial(Silent, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


def test_no_code_can_be_brought_in(
    served: Served, outside: tuple[Path, str], reliability: Reliability, tmp_path: Path
) -> None:
    row = reliability.row("models and workflows registered with the management token", "refused; no code of them runs")
    folder, url = outside
    victim = tmp_path / "victim"
    workflow(folder / "bad.war", victim)
    before = {file.name for file in served.store.iterdir()}
    workflow(inside := served.store / "inside.war", victim)
    shutil.copy(served.store / "sagan.mar", folder / "bad.mar")
    up = "/".join([".."] * 40)
    places = [f"{url}/bad", f"file://{folder}/bad", f"file:{folder}/bad", f"{folder}/bad", "bad", f"{up}{folder}/bad"]
    places += [
        f"file://{served.store}/{dots}{folder}/bad" for dots in (up, up.replace(".", "%2e"), up.replace("..", ".%2E"))
    ]
    places += [
        f"{up.replace('.', '%2e')}{folder}/bad",
        f"jar:file://{folder}/bad",
        f"s3://{folder}/bad",
        f"ftp://{folder}/bad",
    ]
    places += ["inside", f"{inside.with_suffix('')}", f"file://{inside.with_suffix('')}"]
    with served.http("management", 1) as http:
        for place in [*places, *places]:  # what the first time brings in, the second time might find
            found = http.post("/workflows", params={"url": f"{place}.war"})
            assert found.status_code in {400, 404}, (place, found.text)
            assert http.post("/models", params={"url": f"{place}.mar"}).status_code == 405
            row.tried += 2
        for odd in (".", "..", "", "none", "x/."):
            assert http.post("/workflows", params={"url": odd}).status_code in {400, 404}, odd
            row.tried += 1
        assert http.delete("/models/lesion_classifier/baseline").status_code == 405
        assert http.get("/workflows").json() == {"workflows": []}
    inside.unlink()
    assert not victim.exists()
    assert {file.name for file in served.store.iterdir()} == before
    scratch = served.folder / "tmp"
    assert not [file for file in scratch.rglob("*") if file.suffix == ".war" or "bad" in file.name]
    row.seen = "all of them refused"


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_keys_are_for_their_owner_and_nowhere_else(
    served: Served, reliability: Reliability, capsys: pytest.CaptureFixture[str]
) -> None:
    row = reliability.row(
        "a token renewed, used and misused, and every file searched for it", "in the key file, mode 600"
    )
    key_file = served.folder / "key_file.json"
    assert mode(key_file) == 0o600
    used = set(served.keys().values())
    with httpx.Client(trust_env=False) as client:
        token(key_file, f"http://{LOOPBACK}:{served.port + 1}", "inference", True, client)
    assert mode(key_file) == 0o600
    used |= set(served.keys().values())
    assert len(used) == 4
    with Zoo(served.port, key_file) as zoo, served.http() as http:
        zoo.classify(file_of(noise()), "baseline")
        zoo.explain(file_of(noise()), "baseline")
        zoo.synthesize("mel", 1, 7, "sagan")
        http.post(PREDICTIONS["classifier"], content=b"no picture")
        http.get("/nothing")
        http.get("/ping", headers={"Authorization": f"Bearer {served.keys()['API']}"})
    start(served.store, served.folder, served.port)  # prints a call that works
    logs(served.folder, 10_000)
    print(status(served.folder))
    said = capsys.readouterr().out
    assert "MODEL_LOG" in said
    files = [file for file in served.folder.parent.rglob("*") if file.is_file()]
    assert {"console.log", "ts_log.log", "access_log.log", "baseline.mar", "server.json"} <= {
        file.name for file in files
    }
    for key in used:
        assert key not in said
        assert [file for file in files if key.encode() in file.read_bytes()] == [key_file] * (
            key in served.keys().values()
        )
    server = psutil.Process((state(served.folder) or {})["pid"])
    for process in (server, *server.children(recursive=True)):
        assert not any(key in f"{process.cmdline()} {process.environ()}" for key in used)
    scratch = served.folder / "tmp"
    assert mode(scratch) == 0o700
    assert not [file for file in scratch.rglob("*") if file.is_file() and mode(file) & 0o077]
    row.tried, row.seen = len(files), f"of {len(files)} files only key_file.json has it"


def test_logs_do_not_grow_for_ever(served: Served, reliability: Reliability) -> None:
    row = reliability.row("calls with a wrong token and a URL of 3,500 letters, to fill logs", "no log exceeds 10 MB")
    folder = served.folder / "logs"
    console = (folder / "console.log").stat().st_size
    headers, older = {"Authorization": "Bearer wrong"}, folder / "access_log.1.log.gz"
    with served.http(None) as http:
        while not older.exists():
            assert row.tried < 10_000, "nothing was written, or it was not rotated"
            for _ in range(500):
                assert http.get(f"/ping?{'x' * 3500}", headers=headers).status_code == 400
            row.tried += 500
    assert (folder / "console.log").stat().st_size == console < 20_000
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert max(sizes.values()) < 10.5 * 2**20, sizes
    row.seen = f"access_log.log was begun anew at 10 MB; {sum(sizes.values()) / 2**20:.0f} MiB of logs in all"


def test_a_server_for_other_machines_opens_inference_and_nothing_else(
    tmp_path: Path, reliability: Reliability, capsys: pytest.CaptureFixture[str]
) -> None:
    row = reliability.row(
        "make serve HOST=0.0.0.0", "inference by REST listens everywhere, with tokens; all else does not"
    )
    with serving(tmp_path, EVERYWHERE, ("generator",)) as opened:
        said = capsys.readouterr().out
        warnings = [line for line in said.splitlines() if line.startswith("warning:")]
        assert len(warnings) == 1
        assert "unencrypted" in warnings[0]
        found = listening(opened)
        assert found.pop(opened.port) in {EVERYWHERE, "::"}
        assert set(found) == set(range(opened.port + 1, opened.port + len(PORTS)))
        assert set(found.values()) == {LOOPBACK}
        address = next(
            (
                a.address
                for own in psutil.net_if_addrs().values()
                for a in own
                if "." in a.address and a.address != LOOPBACK
            ),
            "127.0.0.2",  # the loopback has more addresses than the one
        )
        wish = {"json": {"class": "mel"}, "timeout": 30}
        url = f"http://{address}:{opened.port}{PREDICTIONS['generator']}"
        with httpx.Client(trust_env=False) as client:
            assert client.post(url, **wish).json()["type"] == "InvalidKeyException"  # type: ignore[arg-type]
            bearer = {"Authorization": f"Bearer {opened.keys()['inference']}"}
            assert client.post(url, headers=bearer, **wish).json()["class"] == "mel"  # type: ignore[arg-type]
            for port in range(opened.port + 1, opened.port + len(PORTS)):
                with pytest.raises(httpx.ConnectError):
                    client.get(f"http://{address}:{port}/metrics")
        start(opened.store, opened.folder, opened.port, host=EVERYWHERE)
        assert "already running" in capsys.readouterr().out
    row.tried, row.seen = 1, "just that"
