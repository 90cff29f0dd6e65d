"""Packs a trained classifier or generator into a self-contained .mar, the same bytes for the same input."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lesions.errors import UserError
from lesions.files import file_lock, with_filename
from zoo.packaging import card, manifest
from zoo.study import ROOT


class Model(NamedTuple):
    """What the archives of one kind of entry have in common."""

    name: str
    """On the server; an entry is one version of it."""
    modules: tuple[str, ...]
    """What goes into an archive (†): with them the handler runs where there is no repository."""
    batch: int
    """Requests that are answered together."""

    @property
    def handler(self) -> str:
        """The handler's file."""
        return f"handlers/{self.name}.py"

    @property
    def settings(self) -> str:
        """TorchServe's settings of one version: milliseconds for the delay, seconds for the timeouts."""
        return f"""\
# One worker a version; a request waits 10 ms at most for others to be answered with.
minWorkers: 1
maxWorkers: 1
batchSize: {self.batch}
maxBatchDelay: 10
responseTimeout: 60
startupTimeout: 180
deviceType: cpu
"""


LABELS = ("lesions/__init__.py", "lesions/errors.py", "lesions/labels.py")

MODELS = {
    "classifier": Model(
        "lesion_classifier",
        (
            *LABELS,
            "lesions/images.py",
            *(f"zoo/{name}.py" for name in ("__init__", "models/__init__", "models/explanation", "models/network")),
            *(f"zoo/serving/{name}.py" for name in ("__init__", "request")),
        ),
        batch=8,
    ),
    "generator": Model(
        "lesion_generator",
        (*LABELS, *(f"gan/{name}.py" for name in ("__init__", "networks", "drawing", "snapshot", "request"))),
        1,
    ),
}
"""By the entry's kind."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the first that a zip can hold."""


class ArchiveError(UserError):
    """An archive that cannot be packed; `str()` says why."""


def pack(entry: Mapping[str, object], weights: Path, target: Path) -> None:
    """Pack `weights` (safetensors) and what is known of them into the archive `target`.

    `entry` becomes the archive's `entry.json` and, for people, its `MODEL_CARD.md`; its `entry` is the served version,
    and its `weights_sha256` must be the digest of `weights`. The same input gives the same bytes. `target` is replaced
    in one step, and noted in its folder's manifest. Raises `ArchiveError` where the weights are not those that `entry`
    speaks of, or torch-model-archiver fails.
    """
    _check(entry, weights)
    model = MODELS[str(entry["kind"])]
    with tempfile.TemporaryDirectory(prefix="lesion-zoo-") as name:
        stage = Path(name)
        with with_filename(stage):
            _stage(model, entry, weights, stage)
        packed = _archive(model, str(entry["entry"]), stage)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(target), with_filename(target):
            aside = target.with_name(f".{target.name}.partial")  # what a killed process left is written over
            try:
                _rewrite(packed, aside)
                manifest.install(aside, target)
            finally:
                aside.unlink(missing_ok=True)


def _check(entry: Mapping[str, object], weights: Path) -> None:
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{weights}: {error.strerror}") from None
    if entry["weights_sha256"] != digest:
        raise ArchiveError(
            f"{weights}: its sha256 is {digest[:12]}..., but the entry {entry['entry']!r} was scored with "
            f"{str(entry['weights_sha256'])[:12]}...; train it again"
        )


def _stage(model: Model, entry: Mapping[str, object], weights: Path, stage: Path) -> None:
    """Lay out in `stage` what torch-model-archiver reads: `extra/`, the handler and the configuration."""
    extra = stage / "extra"  # the archiver copies a folder's content, not the folder
    for module in model.modules:
        (extra / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / module, extra / module)
    shutil.copyfile(weights, extra / "weights.safetensors")  # a new date, too: the archiver takes none before 1980
    text = json.dumps(entry, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    (extra / "entry.json").write_text(text + "\n", encoding="utf-8")
    (extra / "MODEL_CARD.md").write_text(card.markdown(entry), encoding="utf-8")
    shutil.copyfile(ROOT / model.handler, stage / Path(model.handler).name)
    (stage / "model-config.yaml").write_text(model.settings, encoding="utf-8")
    (stage / "tmp").mkdir()


def _archive(model: Model, version: str, stage: Path) -> Path:
    """Run torch-model-archiver in `stage`, on relative paths: it reads a comma or a bracket in a path as its own."""
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", model.name, "--version", version, "--handler", Path(model.handler).name]
    command += ["--extra-files", "extra", "--config-file", "model-config.yaml"]
    command += ["--archive-format", "zip-store", "--export-path", "."]
    environment = os.environ | {"TMPDIR": str(stage / "tmp")}  # it deletes $TMPDIR/<model name> first
    done = subprocess.run(command, cwd=stage, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ArchiveError(f"torch-model-archiver failed on {version!r} in {stage.parent}: {reason}")
    return stage / f"{model.name}.mar"


def _rewrite(packed: Path, target: Path) -> None:
    """Write the archive `packed` to `target` again, without dates, in the order of names, uncompressed."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "MAR-INF/MANIFEST.json":
                manifest = json.loads(content) | {"createdOn": "01/01/1980 00:00:00"}
                content = json.dumps(manifest, sort_keys=True, indent=2).encode()
            member = zipfile.ZipInfo(name, EPOCH)
            member.create_system = 3  # Unix, wherever it is packed
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)
