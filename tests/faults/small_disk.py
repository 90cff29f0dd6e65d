"""Disks too small for what is to be written: a tmpfs over a folder, in a mount namespace of its own, without root."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.checkout import Harmed, wait_for

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


class SmallDisks:
    """What `checkout` runs from now on sees the disks that are mounted here, and nobody else does."""

    def __init__(self, checkout: Harmed) -> None:
        if subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
            pytest.skip("no tmpfs can be mounted here, not even in a user namespace")
        self.checkout, ours = checkout, os.readlink("/proc/self/ns/mnt")
        self._holder = subprocess.Popen([*UNSHARE, "sleep", "infinity"])  # as long as it lives, the disks do
        wait_for(lambda: os.readlink(f"/proc/{self._holder.pid}/ns/mnt") != ours, "a namespace")
        enter = ["nsenter", "--target", str(self._holder.pid), "--user", "--mount", "--preserve-credentials"]
        # Into the folder as it is seen from there: nsenter's own --wd is the folder as it is seen from here.
        enter += ["sh", "-c", 'cd "$0" && exec "$@"', str(checkout.folder)]
        wait_for(lambda: subprocess.run([*enter, "true"], capture_output=True).returncode == 0, "a mapped user")
        checkout.within = enter

    def _do(self, *command: str) -> str:
        done = subprocess.run([*self.checkout.within, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mount(self, place: Path, size: str) -> None:
        """Lay a disk of `size` (as mount says it: 300k) over `place`."""
        self._do("mkdir", "-p", str(place))
        self._do("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place))

    def grow(self, place: Path) -> None:
        """Make room."""
        self._do("mount", "-o", "remount,size=1g", str(place))

    def files(self, place: Path) -> list[str]:
        """Every file below `place`, but for locks."""
        result = self._do("find", str(place), "-type", "f", "-not", "-name", "*.lock")
        return sorted(str(Path(line).relative_to(place)) for line in result.splitlines())

    def digest(self, file: Path) -> str:
        """The sha256 of a file that may lie on one of them."""
        return self._do("sha256sum", str(file)).split()[0]

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        self.checkout.within = ()
