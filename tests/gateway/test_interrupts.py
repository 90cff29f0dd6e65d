"""`make serve`, interrupted: nothing that it has started goes on, and everything that another one started does."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import process, start
from gateway.settings import Settings
from tests.servers import free_ports
from zoo.serving import start as serving
from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK
from zoo.study import ROOT


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (folder := tmp_path / "serve").mkdir()
    return Settings(
        host=LOOPBACK,
        port=free_ports(),
        runtime_port=free_ports(),
        folder=folder,
        archives=tmp_path,
        keys=tmp_path / "keys.json",
        origins=(),
        max_request_bytes=1_000_000,
    )


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.server
def test_a_gateway_that_was_just_started_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(file: Path, content: str) -> None:
        file.write_text(content)
        written.append(file)
        if len(written) == 2:  # with the pid
            assert process.processes_of(settings.folder)
            raise KeyboardInterrupt

    monkeypatch.setattr(process, "atomic_write", write)
    with pytest.raises(KeyboardInterrupt):
        process.start(settings)
    assert len(written) == 2
    assert not process.processes_of(settings.folder)


def test_a_runtime_that_another_one_started_meanwhile_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[str] = []
    stopped: list[Path] = []
    runtime: Any = SimpleNamespace(hosts_front=False, processes=lambda folder: running.copy(), stop=stopped.append)

    def serve(*_: object, checked: Callable[[], None], **__: object) -> tuple[str, str]:
        running.append("of another make serve, which this one waited for")
        checked()
        return "lesion_classifier", "baseline"

    monkeypatch.setattr(start, "get_runtime", lambda name: runtime)
    monkeypatch.setattr(start, "listening", lambda processes: {settings.port})
    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr(process, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start.serve(runtime, settings, LOOPBACK, limits())
    assert not stopped


INTERRUPTED = """
import os, signal, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
from gateway import process
from zoo.serving.start import ended_by_interrupt, until_signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what they start in the background ignore it

def wait():
    print("ready", flush=True)
    time.sleep(60)
    os._exit(1)  # no signal came

def stop(folder=None):
    print("stopping", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-c", "import time; time.sleep(1)"], check=True)
    print("stopped", file=sys.stderr, flush=True)

def answers(port):
    process.halt = stop
    wait()

what, folder = sys.argv[1], Path(sys.argv[2])
if what == "runtime":
    with ended_by_interrupt(SimpleNamespace(processes=lambda folder: ["new"], stop=stop), folder, []):
        wait()
if what == "container":
    with until_signal(stop):
        wait()
if what == "gateway":
    process.detached.launch, process.answers = lambda *_: 1, answers
    process.start(SimpleNamespace(folder=folder, port=1, model_dump=lambda mode: {}))
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["runtime", "container", "gateway"])
def test_a_second_signal_while_it_stops(what: str, second: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, what, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as one:
        assert one.stdout is not None
        assert one.stderr is not None
        assert one.stdout.readline() == "ready\n"
        one.stdout.close()  # Ctrl-C ends also what reads the output: make serve | tee log
        os.killpg(one.pid, signal.SIGINT)
        assert one.stderr.readline() == "stopping\n"
        os.killpg(one.pid, second)
        assert one.stderr.readline() == "stopped\n"
