"""`make zoo` by real make: what is built, what is built again, and what a wrong setting says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.networks import save_network

ROOT = Path(__file__).parents[1]
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


@pytest.fixture
def checkout(tmp_path: Path, tiny: Path) -> Checkout:
    folder = tmp_path / "a checkout"  # with a blank, as people have them
    folder.mkdir()
    return Checkout(folder, tiny)


@pytest.mark.slow
def test_what_changed_is_built_and_nothing_else(checkout: Checkout) -> None:
    study = "tiny-demo-test_efficientnet-w"
    entries = "baseline transfer weighted_loss"
    first = checkout.make("zoo", ENTRIES=entries)
    assert first.returncode == 0, first.stderr
    assert "make zoo took" in first.stdout
    begun = checkout.built()
    archives = {f"model_store/{study}/{name}.mar" for name in entries.split()}
    assert archives <= begun.keys()
    assert f"runs/{study}/source/weights.safetensors" in begun

    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert checkout.built() == begun, "nothing changed, nothing is built"

    checkout.edit("transfer", "\nweights =", "\n# a comment\nweights =")
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert checkout.built() == begun, "a comment is no change"

    checkout.edit("transfer", 'weights = "pretrained"', 'weights = "pretrained"\nlearning_rate = 0.001')
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    now = checkout.built()
    assert {file for file in now if now[file] != begun[file]} == {
        f"model_store/{study}/transfer.mar",
        f"runs/{study}/transfer/weights.safetensors",
    }

    other = checkout.make("zoo", ENTRIES="baseline", SEED="7")
    assert other.returncode == 0, other.stderr
    assert f"model_store/{study.replace('-w', '-w-seed7')}/baseline.mar" in checkout.built()
    assert checkout.make("zoo", ENTRIES=entries).returncode == 0
    assert {file: time for file, time in checkout.built().items() if "seed7" not in file} == now, "untouched and fresh"

    listed = checkout.make("list")
    assert listed.stdout.count("archived") == 3
    recipe = json.loads((checkout.folder / "runs" / study / "transfer" / "recipe.json").read_text())
    assert recipe["learning_rate"] == 0.001


def test_wrong_settings_get_one_line_and_leave_nothing(checkout: Checkout) -> None:
    (checkout.folder / "zoo" / "entries" / "mine.toml").write_text('about = "x"\nlose = 1\n')
    cut = checkout.folder / "cut"
    cut.mkdir()
    (cut / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nl,i,nv\n")
    (cut / "HAM10000_images_part_1.zip").write_bytes(b"PK\x03\x04 and no more")
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "zoo/entries/mine.toml: unknown key 'lose'; allowed: "),
        ({"ENTRIES": "nobody"}, "unknown key 'lose'"),
        ({"DATA": "/nowhere"}, "DATA=/nowhere: no such folder"),
        ({"SCALE": "huge"}, "SCALE=huge: Input should be 'demo', 'small', 'medium' or 'paper'"),
        ({"WEIGHTS": "nothing.safetensors"}, "nothing.safetensors: no such file"),
    )
    for settings, message in cases:
        refused = checkout.make("zoo", **settings)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    (checkout.folder / "zoo" / "entries" / "mine.toml").unlink()
    lost = checkout.folder / "lost"
    lost.mkdir()
    (lost / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nl,i,nv\n")
    for settings, message in (
        ({"ENTRIES": "nobody"}, "no entry nobody; there are: adjusted, augmented, "),
        ({"DATA": str(cut)}, "HAM10000_images_part_1.zip: not a whole zip file (cut short?)"),
        ({"DATA": str(lost)}, "names 1 images that are not in"),
    ):
        refused = checkout.make("zoo", **settings)
        assert refused.returncode == 2
        assert message in refused.stderr
    assert not checkout.built()
    assert not list(checkout.folder.glob("runs/*/*/last.ckpt"))
    assert not list(checkout.folder.rglob("*.part"))


def test_weights_of_another_network_stop_it_before_anything_is_trained(checkout: Checkout) -> None:
    save_network("test_resnet", checkout.folder / "w.safetensors")
    refused = checkout.make("zoo", ENTRIES="baseline transfer")
    assert refused.returncode == 2
    assert "the weights of another network" in refused.stderr
    assert not checkout.built()


def test_too_little_disk_is_an_error_before_anything_is_installed(checkout: Checkout) -> None:
    (checkout.folder / ".venv").unlink()
    refused = checkout.make("zoo", FREE_GB="1000000")
    assert refused.returncode == 2
    assert "error: 1000000 GB of free disk are needed to install, and there are " in refused.stderr
    assert not (checkout.folder / ".venv").exists()


def test_help_names_every_target_and_setting(checkout: Checkout) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    [study_settings] = re.findall(r"^STUDY_SETTINGS := (.*)$", makefile, re.MULTILINE)
    defaults = re.findall(r"^([A-Z][A-Z0-9]*) \?= ", makefile, re.MULTILINE)  # JOBS, PORT, ...
    options = re.findall(r"\$\(if \$\(([A-Z]+)\),--|'\$\(([A-Z]+)\)'", makefile)  # of commands
    settings = {*study_settings.split(), *defaults, "ENTRIES", *("".join(option) for option in options)}
    settings -= {"HAM10000"}  # its target explains it
    assert {"DATA", "SCALE", "JOBS", "PYTHON3", "HOST", "IMAGE", "CLASS", "TEST", "STRICT", "FORCE", "OUT"} <= settings
    lines = checkout.make("help").stdout.splitlines()
    listed = [line.split()[0] for line in lines if re.match("  [a-z]", line)]
    assert listed == targets
    assert len(targets) > 20
    explained = "\n".join(lines[lines.index("Settings of a study (make zoo DATA=... SCALE=...):") + 1 :])
    for setting in settings:
        assert re.search(rf"^  {setting}\s|\b{setting}=", explained, re.MULTILINE), setting
