"""A step behind a launcher that runs it, fails, dies, does not wait, or has another clock."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.build import launch
from zoo.build.launch import LaunchError
from zoo.study import ROOT

Launcher = Callable[[str], str]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SLURMD_NODENAME", "d1")
    monkeypatch.setattr(launch, "PAUSES", (0, 0))
    monkeypatch.setattr(launch, "LATE", 1)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "run" / "weights.safetensors"


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    """Write a launcher: a shell script, whose `$tries` counts its calls."""

    def write(script: str) -> str:
        file = tmp_path / "a launcher"
        file.write_text(f'#!/bin/sh\nlog="{tmp_path}/tries"\necho >> "$log"\ntries=$(wc -l < "$log")\n{script}\n')
        file.chmod(0o755)
        return f"'{file}'"

    return write


def tries(output: Path) -> int:
    return len((output.parents[1] / "tries").read_text().splitlines())


def makes(output: Path) -> list[str]:
    return ["sh", "-c", 'echo made >> "$1"', "sh", str(output)]


def test_a_step_runs_once_and_leaves_its_output_alone(
    output: Path, launcher: Launcher, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch.launch(launcher('exec "$@"'), output, makes(output)) == 0
    assert output.read_text() == "made\n"
    assert [file.name for file in output.parent.iterdir()] == [output.name]
    assert f"on d1: {' '.join(makes(output))}\n" == capfd.readouterr().err


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_output_gets_the_time_of_this_machine(output: Path, launcher: Launcher, hours: int) -> None:
    skewed = f'"$@"; touch -d "{hours} hour" "{output}"'
    before = time.time() - 1
    assert launch.launch(launcher(skewed), output, makes(output)) == 0
    assert before < output.stat().st_mtime < time.time() + 1


@pytest.mark.parametrize("code", [1, 2])
def test_an_error_of_the_step_is_not_tried_again(output: Path, launcher: Launcher, code: int) -> None:
    assert launch.launch(launcher('"$@"; exit 0'), output, ["sh", "-c", f"exit {code}"]) == code
    assert tries(output) == 1


@pytest.mark.parametrize(
    ("dies", "message"),
    [
        ("kill -9 $$", "did not begin: LAUNCH ended with exit code -9; trying again in 0 s"),
        ("exit 1", "did not begin: LAUNCH ended with exit code 1; trying again in 0 s"),
        ('echo d1 > "$2"; exit 0', "began on d1 and did not end: it was killed, or d1 died; trying again in 0 s"),
        ('"$1" "$2" sh -c "kill -9 \\$\\$"', "killed on d1 by signal 9; trying again in 0 s"),
    ],
    ids=["launcher killed", "launcher failed", "node died, as srun tells it", "step killed"],
)
def test_what_did_not_end_is_tried_again(
    output: Path, launcher: Launcher, capfd: pytest.CaptureFixture[str], dies: str, message: str
) -> None:
    again = launcher(f'if [ $tries = 1 ]; then {dies}; exit $?; fi; exec "$@"')
    assert launch.launch(again, output, makes(output)) == 0
    assert (tries(output), output.read_text()) == (2, "made\n")
    assert f"{output}: {message}\n" in capfd.readouterr().err


def test_three_tries_are_enough(output: Path, launcher: Launcher) -> None:
    with pytest.raises(LaunchError, match=r"exit code 7; tried 3 times\. Called again, `make zoo` tries anew"):
        launch.launch(launcher("exit 7"), output, makes(output))
    assert tries(output) == 3


def test_a_launcher_that_lost_a_step_that_ended_is_believed_less_than_the_step(
    output: Path, launcher: Launcher
) -> None:
    assert launch.launch(launcher('"$@"; exit 1'), output, makes(output)) == 0
    assert tries(output) == 1


def test_a_launcher_that_does_not_wait_is_an_error(output: Path, launcher: Launcher) -> None:
    with pytest.raises(LaunchError, match=r"came back before the step began; with sbatch, add --wait"):
        launch.launch(launcher("exit 0"), output, makes(output))
    assert tries(output) == 1


@pytest.mark.parametrize(
    ("prefix", "message"),
    [("srunn -n1", "LAUNCH=srunn -n1: srunn: No such file"), ("srun 'x", "LAUNCH=srun 'x: No closing quotation")],
)
def test_a_prefix_that_cannot_be_run(output: Path, prefix: str, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        launch.launch(prefix, output, makes(output))


def test_an_output_that_is_not_seen_here(output: Path, launcher: Launcher) -> None:
    with pytest.raises(LaunchError, match="is the folder shared"):
        launch.launch(launcher('exec "$@"'), output, ["true"])


def test_a_signal_ends_the_launcher_and_no_try_follows(output: Path, launcher: Launcher) -> None:
    waits = launcher('trap "echo ended >> \\"$log\\"; exit 143" TERM; sleep 60 & wait')
    command = [sys.executable, "-m", "zoo", "launch", str(output), "--by", waits, "--", "true"]
    process = subprocess.Popen(command, cwd=ROOT)
    log = output.parents[1] / "tries"
    while not log.exists():
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert log.read_text() == "\nended\n"
    assert not list(output.parent.iterdir())


def test_the_command_ends_with_the_code_of_the_step(output: Path) -> None:
    command = [sys.executable, "-m", "zoo", "launch", str(output), "--by", "nice -n 1", "--", "sh", "-c", "exit 2"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "on d1: sh -c exit 2\n")
