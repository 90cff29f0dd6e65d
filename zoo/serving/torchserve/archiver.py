"""Packing a .mar, TorchServe's format, which every runtime serves: torch-model-archiver, and what it says of itself."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from zoo.kinds import Kind
from zoo.packaging.archive import ArchiveError
from zoo.study import ROOT

MANIFEST = "MAR-INF/MANIFEST.json"
"""The archiver's own description, in every archive."""


def settings(batch: int) -> str:
    """TorchServe's settings of one version: milliseconds for the delay, seconds for the timeouts."""
    return f"""\
# One worker a version; a request waits 10 ms at most for others to be answered with.
minWorkers: 1
maxWorkers: 1
batchSize: {batch}
maxBatchDelay: 10
responseTimeout: 60
startupTimeout: 180
deviceType: cpu
"""


def pack(stage: Path, kind: Kind, version: str) -> dict[str, bytes]:
    """The members of the archive that torch-model-archiver makes of `stage`/extra and the kind's handler.

    The same files give the same members. `stage` is a folder to work in. The archiver runs on relative paths: it splits
    paths at commas and brackets. Raises `ArchiveError` where it fails.
    """
    handler = f"{kind.model}.py"
    shutil.copyfile(ROOT / "handlers" / handler, stage / handler)
    (stage / "model-config.yaml").write_text(settings(kind.batch), encoding="utf-8")
    (stage / "tmp").mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", kind.model, "--version", version, "--handler", handler]
    command += ["--extra-files", "extra", "--config-file", "model-config.yaml"]
    command += ["--archive-format", "zip-store", "--export-path", "."]
    environment = os.environ | {"TMPDIR": str(stage / "tmp")}  # it deletes $TMPDIR/<model name> first
    done = subprocess.run(command, cwd=stage, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ArchiveError(f"torch-model-archiver failed on {version!r} in {stage.parent}: {reason}")
    with zipfile.ZipFile(stage / f"{kind.model}.mar") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members[MANIFEST]) | {"createdOn": "01/01/1980 00:00:00"}  # the same bytes on any day
    return members | {MANIFEST: json.dumps(manifest, sort_keys=True, indent=2).encode()}
