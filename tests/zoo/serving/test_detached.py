"""Servers as processes of their own: stopped is what no longer runs."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from zoo.serving import detached

MODULE = "a.module"


Start = Callable[[str, Path], psutil.Popen]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a script in a shell with the command line of a server of a folder; returns when it is known as one."""
    with ExitStack() as started:

        def run(script: str, folder: Path) -> psutil.Popen:
            process = psutil.Popen(["/bin/bash", "-c", script, MODULE, str(folder)], stdout=subprocess.PIPE)
            started.callback(process.wait)
            started.callback(process.kill)
            started.enter_context(process.stdout)
            assert process.stdout.readline() == b"ready\n"
            assert process in detached.processes_of(MODULE, folder)  # a child that it forks may look the same at first
            return process

        yield run


@pytest.mark.parametrize("after", ["exec sleep 0.5", ":"], ids=["ends later", "never ends"])
def test_halt_returns_when_nothing_of_it_runs(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setattr(detached, "PATIENCE", 2)
    # A process that ends has no command line for a moment; this one has another, for longer.
    process = start(f"trap '{after}' TERM; echo ready; while :; do sleep 0.02; done", tmp_path)
    other = start("echo ready; while :; do sleep 0.02; done", tmp_path / "other")
    began = time.monotonic()
    detached.halt(MODULE, tmp_path)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert time.monotonic() - began >= 0.4
    assert detached.is_alive(other)
    assert not detached.is_alive(process)


def test_a_process_runs_until_its_last_thread_has_ended() -> None:
    script = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)  # the main thread alone
"""
    with psutil.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            while process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            assert process.num_threads() == 2
            assert detached.is_alive(process)  # it would still have its ports
        finally:
            process.kill()
    assert not detached.is_alive(process)


def test_a_server_that_was_started_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([[], ["/bin/sh"], []])  # as while the kernel exchanges the shell for Python, on a busy machine
    cmdline = psutil.Process.cmdline

    def answer(process: psutil.Process) -> list[str]:
        return next(seen, cmdline(process))

    monkeypatch.setattr(psutil.Process, "cmdline", answer)
    (tmp_path / "a_server.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(detached, "ROOT", tmp_path)
    pid = detached.launch("a_server", tmp_path, tmp_path / "console", {})
    try:
        assert detached.is_ours(psutil.Process(pid), "a_server", tmp_path)
    finally:
        psutil.Process(pid).kill()


def test_a_server_that_ends_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    began = time.monotonic()
    pid = detached.launch("a_server", tmp_path, tmp_path / "console", {})
    assert time.monotonic() - began < detached.PATIENCE
    assert not psutil.pid_exists(pid) or not detached.is_ours(psutil.Process(pid), "a_server", tmp_path)
    assert "/nowhere/python" in (tmp_path / "console").read_text()
