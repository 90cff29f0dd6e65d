"""A checkout with the virtual environment of this one, for real make in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.networks import save_network

ROOT = Path(__file__).parents[2]
PARTS = (
    "Makefile",
    "requirements.lock",
    "pyproject.toml",
    "config.properties",
    "lesions",
    "zoo",
    "train",
    "gan",
    "handlers",
    "compare",
    "gateway",
)


class Checkout:
    """A checkout of its own, with the virtual environment of this one."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        (folder / ".venv").symlink_to(sys.prefix)
        save_network("test_efficientnet", folder / "w.safetensors")

    def make(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """`make` with the settings of a small study, unless others are given."""
        usual = {"DATA": str(self.data), "SCALE": "demo", "ARCH": "test_efficientnet", "WEIGHTS": "w.safetensors"}
        assignments = [f"{key}={value}" for key, value in (usual | settings).items()]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        return subprocess.run(
            ["make", *arguments, *assignments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def edit(self, entry: str, old: str, new: str) -> None:
        file = self.folder / "zoo" / "entries" / f"{entry}.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def built(self) -> dict[str, int]:
        """When each archive and each file of weights was written."""
        files = [*self.folder.glob("model_store/*/*.mar"), *self.folder.glob("runs/*/*/weights.safetensors")]
        return {str(file.relative_to(self.folder)): file.stat().st_mtime_ns for file in files}


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make` as a person calls it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )
