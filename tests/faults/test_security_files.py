"""What docs/security.md promises of files: no code is brought in, tokens are in one file, and logs stay small."""

import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.faults.conftest import Reliability
from tests.faults.garbage import noise
from tests.faults.small_zoo import PREDICTIONS, Served, serving
from tests.images import file_of
from tests.servers import LOGS, SERVED_BY, connect, processes, start
from zoo.serving.connection import upload
from zoo.serving.runtime import LOOPBACK, runtime_of

pytestmark = [pytest.mark.thorough, pytest.mark.server]


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("security"), request.param) as served:
        yield served


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
    """Serves a folder, without a log."""

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
            answer = http.post("/workflows", params={"url": f"{place}.war"})
            assert answer.status_code in {400, 404}, (place, answer.text)
            assert http.post("/models", params={"url": f"{place}.mar"}).status_code == 405
            row.tried += 2
        for odd in (".", "..", "", "none", "x/."):
            assert http.post("/workflows", params={"url": odd}).status_code in {400, 404}, odd
            row.tried += 1
        assert http.delete("/models/lesion_classifier/baseline").status_code == 405
        if served.runtime == "torchserve":
            assert http.get("/workflows").json() == {"workflows": []}
        else:
            assert http.get("/workflows").status_code == 404
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
    renewal = {"Authorization": f"Bearer {served.keys()['API']}"}
    url = f"http://{LOOPBACK}:{served.port + 1}/token"
    httpx.get(url, params={"type": "inference"}, headers=renewal, trust_env=False).raise_for_status()
    assert mode(key_file) == 0o600
    used |= set(served.keys().values())
    assert len(used) == 4
    with connect(served.folder, served.port) as zoo, served.http() as http:
        zoo.classify(file_of(noise()), "baseline")
        zoo.explain(file_of(noise()), "baseline")
        zoo.synthesize("mel", 1, 7, "sagan")
        http.post(PREDICTIONS["classifier"], content=b"no picture")
        http.get("/nothing")
        http.get("/ping", headers={"Authorization": f"Bearer {served.keys()['API']}"})
    start(served.store, served.folder, served.port, runtime=served.runtime)  # prints a call that works
    runtime = runtime_of(served.folder)
    print(runtime.example_call(served.folder, "http://127.0.0.1", upload(None)))
    print(runtime.logs(served.folder, 10_000))
    print(runtime.connect(served.folder).status())
    output = capsys.readouterr().out
    assert ("MODEL_LOG" if served.runtime == "torchserve" else "baseline: ready") in output
    files = [file for file in served.folder.parent.rglob("*") if file.is_file()]
    assert {"console.log", *LOGS[served.runtime], "baseline.mar", "server.json"} <= {file.name for file in files}
    for key in used:
        assert key not in output
        assert [file for file in files if key.encode() in file.read_bytes()] == [key_file] * (
            key in served.keys().values()
        )
    for process in processes(served.folder):
        assert not any(key in f"{process.cmdline()} {process.environ()}" for key in used)
    if served.runtime == "torchserve":
        scratch = served.folder / "tmp"
        assert mode(scratch) == 0o700
        assert not [file for file in scratch.rglob("*") if file.is_file() and mode(file) & 0o077]
    row.tried, row.seen = len(files), f"of {len(files)} files only key_file.json has it"


def test_logs_do_not_grow_for_ever(served: Served, reliability: Reliability) -> None:
    row = reliability.row("calls with a wrong token and a URL of 3,500 letters, to fill logs", "no log exceeds 10 MB")
    folder = served.folder / "logs"
    console = (folder / "console.log").stat().st_size
    older = folder / ("access_log.1.log.gz" if served.runtime == "torchserve" else "access.log.1")
    headers = {"Authorization": "Bearer wrong"}
    with served.http(None) as http:
        while not older.exists():
            assert row.tried < 10_000, "nothing was written, or it was not rotated"
            for _ in range(500):
                assert http.get(f"/ping?{'x' * 3500}", headers=headers).status_code == 400
            row.tried += 500
    assert (folder / "console.log").stat().st_size == console < 20_000
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert max(sizes.values()) < 10.5 * 2**20, sizes
    row.seen = f"the log of requests was begun anew at 10 MB; {sum(sizes.values()) / 2**20:.0f} MiB of logs in all"
