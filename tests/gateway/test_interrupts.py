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
import subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
from zoo.serving.start import ended_by_interrupt

def stop(folder):
    subprocess.run([sys.executable, "-c", "import time; time.sleep(1)"], check=True)
    print("stopped")

with ended_by_interrupt(SimpleNamespace(processes=lambda folder: ["new"], stop=stop), Path(), []):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_ctrl_c_again_while_it_stops() -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        os.killpg(one.pid, signal.SIGINT)
        assert one.stdout.readline() == "stopping what was started ...\n"
        os.killpg(one.pid, signal.SIGINT)
        assert one.communicate(timeout=60)[0] == "stopped\n"
