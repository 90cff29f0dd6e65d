"""Servers as processes of their own: stopped is what no longer runs."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from zoo.serving import detached

MODULE = "a.module"


def start(script: str, folder: Path) -> psutil.Popen:
    """A shell that runs `script`, with the command line of a server of `folder`; returns when it is known as one."""
    process = psutil.Popen(["/bin/bash", "-c", script, MODULE, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    assert detached.processes_of(MODULE, folder) == [process]
    return process


@pytest.mark.parametrize("after", ["exec sleep 0.5", ":"], ids=["ends later", "never ends"])
def test_halt_returns_when_nothing_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    monkeypatch.setattr(detached, "PATIENCE", 2)
    # A process that ends has no command line for a moment; this one has another, for longer.
    process = start(f"trap '{after}' TERM; echo ready; while :; do sleep 0.02; done", tmp_path)
    other = start("echo ready; while :; do sleep 0.02; done", tmp_path / "other")
    try:
        began = time.monotonic()
        detached.halt(MODULE, tmp_path)
        assert process.status() == psutil.STATUS_ZOMBIE
        assert time.monotonic() - began >= 0.4
        assert detached.is_alive(other)
    finally:
        for each in (process, other):
            each.kill()
            each.wait()
            each.stdout.close()
    assert not detached.is_alive(process)
    detached.halt(MODULE, tmp_path)
