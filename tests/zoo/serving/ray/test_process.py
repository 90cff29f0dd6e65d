"""The server and its Ray as processes: replicas import no torch, and nothing is left when some of them were killed."""

import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import psutil
import pytest

from tests.faults.checkout import wait_for
from tests.faults.garbage import noise
from tests.faults.serving import is_gone
from tests.faults.small_zoo import NAMES, PREDICTIONS, Served, made, serving
from tests.images import file_of
from tests.servers import connect, free_ports, pack, processes, state, stop
from zoo.serving.http import ServerError
from zoo.serving.limits import limits
from zoo.serving.ray.program import FILES, MARK
from zoo.serving.runtime import LOOPBACK, ServeRequest, get_runtime
from zoo.serving.start import serve

pytestmark = [pytest.mark.server, pytest.mark.ray]

PICTURE = file_of(noise())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("ray"), "ray") as served:
        yield served


def replica(served: Served, kind: str = "classifier") -> psutil.Process:
    """The process of the only replica of a version."""
    with served.http("management", 1) as http:
        [row] = http.get(f"/models/lesion_{kind}/{NAMES[kind]}").json()
    [worker] = [worker for worker in row["workers"] if worker["status"] == "READY"]
    return psutil.Process(worker["pid"])


def test_a_replica_is_small(served: Served) -> None:
    for kind, path in PREDICTIONS.items():
        with served.http() as http:
            sent = {"json": {"class": "mel"}} if kind == "generator" else {"content": PICTURE}
            assert http.post(path, **sent).status_code == 200
        mapped = {Path(region.path).name for region in replica(served, kind).memory_maps()}
        assert any("onnxruntime" in name for name in mapped)
        assert not [name for name in mapped if "torch" in name]
        assert replica(served, kind).environ()["OMP_NUM_THREADS"] == "1"


def test_ray_takes_a_token_that_is_in_no_file(served: Served) -> None:
    token = psutil.Process(processes(served.folder)[0].pid).environ()["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    files = [file for file in served.folder.rglob("*") if file.is_file()]
    files += [file for file in (served.folder / FILES).resolve().rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if token.encode() in file.read_bytes()]
    assert (served.folder / FILES).resolve().stat().st_mode & 0o077 == 0


def test_a_killed_replica_is_started_again_and_no_request_fails(served: Served) -> None:
    before = replica(served)
    before.kill()
    with served.http() as http:
        for _ in range(20):
            assert http.post(PREDICTIONS["classifier"], content=PICTURE).status_code == 200
    assert replica(served) != before


def test_nothing_is_left_of_a_killed_server(served: Served) -> None:
    runtime, files = get_runtime("ray"), (served.folder / FILES).resolve()
    [server, *_] = before = processes(served.folder)
    assert len(before) > 8
    server.kill()
    wait_for(lambda: is_gone(server.pid), "the end of the server")
    assert state(served.folder) is None
    assert not stop(served.folder)  # there was no server any more, but perhaps some of Ray's processes
    assert runtime.processes(served.folder) == []
    wait_for(lambda: all(is_gone(one.pid) for one in before), "the end of Ray")
    assert not files.exists()
    assert {file.name for file in served.folder.iterdir()} <= {"logs", ".serve.lock"}
    serve(runtime, served.store, served.folder, served.port)
    with connect(served.folder, served.port) as zoo:
        assert zoo.classify(PICTURE, "baseline")["entry"] == "baseline"


def test_it_ends_at_a_signal(served: Served) -> None:
    [server, *others] = processes(served.folder)
    server.send_signal(signal.SIGTERM)
    wait_for(lambda: all(is_gone(one.pid) for one in (server, *others)), "the end of all of them")


def test_more_processors_than_there_are_is_an_error(served: Served, tmp_path: Path) -> None:
    runtime = get_runtime("ray", replicas="3", cpus=str(os.cpu_count()))
    with pytest.raises(ServerError, match=r"2 versions with 3 replicas each need \d+ processors, and there are"):
        serve(runtime, served.store, tmp_path / "serve", free_ports())
    assert runtime.processes(tmp_path / "serve") == []


def test_a_source_that_has_other_archives_is_named(tmp_path: Path) -> None:
    pack(*made("classifier", tmp_path), tmp_path / "store" / "baseline.mar")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "baseline.mar").write_bytes(b"another one")
    runtime, folder = get_runtime("ray", archives_url=(tmp_path / "elsewhere").as_uri()), tmp_path / "serve"
    with pytest.raises(ServerError, match=r"baseline: file:.*/elsewhere/baseline\.mar has sha256 .* it was changed"):
        serve(runtime, tmp_path / "store", folder, free_ports())
    assert runtime.processes(folder) == []


def test_a_machine_without_ray_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "ray" else real(name, package)

    monkeypatch.setattr("zoo.serving.ray.runtime.find_spec", find)
    request = ServeRequest(tmp_path, free_ports(), LOOPBACK, {}, limits())
    with pytest.raises(ServerError, match=r"Ray is not installed here: .* or serve without it: make serve RUNTIME=lo"):
        get_runtime("ray").check(request, set())


def test_a_cluster_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pack(*made("classifier", tmp_path), tmp_path / "store" / "baseline.mar")
    store, folder = tmp_path / "store", tmp_path / "serve"
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(ServerError, match=r"^RAY_ADDRESS=ray://127\.0\.0\.1:10001: start the server on a machine of"):
        serve(get_runtime("ray"), store, folder, free_ports())
    monkeypatch.setenv("RAY_ADDRESS", address := f"127.0.0.1:{free_ports()}")
    with pytest.raises(ServerError, match=f"^RAY_ADDRESS={address}: no cluster answers there"):
        serve(get_runtime("ray"), store, folder, free_ports())


def test_what_a_lost_cluster_may_have_is_not_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_ports()}"
    (tmp_path / "server.json").write_text(json.dumps({"runtime": "ray", "ray": {"address": address}}))
    for _ in range(2):
        assert not stop(tmp_path)
        warning = f"warning: {address} may still have replicas: RAY_ADDRESS={address}: no cluster answers there"
        assert capsys.readouterr().err.startswith(warning)


def test_processes_are_found_by_their_mark(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(tmp_path)}) as ours:
        try:
            assert get_runtime("ray").processes(tmp_path) == [psutil.Process(ours.pid)]
            assert get_runtime("ray").processes(tmp_path.parent) == []
            (tmp_path / "server.json").write_text(json.dumps({"runtime": "ray"}))
            assert not stop(tmp_path)
            assert ours.wait(10) == -signal.SIGKILL
        finally:
            ours.kill()
