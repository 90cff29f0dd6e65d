"""A checkout of its own to do harm to: real make in it, killed at any moment, with processes and files counted."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.make.checkout import Checkout

STUDY = "tiny-demo-test_efficientnet-w"
"""What its settings are called."""


def wait_for(true: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Return as soon as `true` is; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.001)


class Harmed(Checkout):
    """A checkout whose temporary files lie in it, too, and whose commands may be killed."""

    def __init__(self, folder: Path, data: Path) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder, data)
        os.utime(folder / "requirements.lock", (0, 0))  # nothing is installed, whoever edits the original meanwhile
        self._begin()

    def _begin(self) -> None:
        self.weights, self.temporary = self.folder / "w.safetensors", self.folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.within: Sequence[str] = ()
        """What every command is run by; nothing, usually."""

    def copy(self, folder: Path) -> "Harmed":
        """Another checkout, in which everything is built that is built in this one."""
        other = Harmed.__new__(Harmed)
        other.folder, other.data = Path(shutil.copytree(self.folder, folder, symlinks=True)), self.data
        other._begin()
        return other

    @property
    def runs(self) -> Path:
        return self.folder / "runs" / STUDY

    @property
    def archives(self) -> Path:
        return self.folder / "model_store" / STUDY

    def command(self, *arguments: str, **settings: str) -> list[str]:
        usual = {"DATA": str(self.data), "SCALE": "demo", "ARCH": "test_efficientnet", "WEIGHTS": str(self.weights)}
        return [*self.within, "make", *arguments, *(f"{key}={value}" for key, value in (usual | settings).items())]

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        return kept | {"TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}

    def begin(self, *arguments: str, log: Path | None = None, **settings: str) -> subprocess.Popen[str]:
        """Start make in a session of its own; what it and its children say goes into `log`."""
        with (log or self.folder / "make.log").open("w") as output:
            return subprocess.Popen(
                self.command(*arguments, **settings),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def make(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, **settings),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def made(self, *arguments: str, **settings: str) -> str:
        """What make says; it must succeed."""
        done = self.make(*arguments, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def digests(self) -> dict[str, str]:
        """The sha256 of every archive and all weights."""
        files = [*self.archives.glob("*.mar"), *self.runs.glob("*/weights.safetensors")]
        return {str(file.relative_to(self.folder)): sha256(file) for file in files}

    def halves(self) -> list[str]:
        """Files that are only a part of something."""
        names = (file for pattern in ("*.part", "*.partial", "*.old") for file in self.folder.rglob(pattern))
        return sorted(str(file.relative_to(self.folder)) for file in names)

    def wipe(self) -> None:
        """Forget everything that was built."""
        for name in ("runs", "model_store", "data", "reports"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for leftover in self.temporary.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a command and all that it started, at once, as a power cut would."""
    with suppress(ProcessLookupError):  # it had ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
