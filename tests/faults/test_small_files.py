"""A limit to the size of files, as a quota or a full disk would be: one line says so, and nothing is left."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lesions.labels import CLASSES
from tests.faults.conftest import Reliability

ROOT = Path(__file__).parents[2]

LIMIT = 1_000_000

PROMISED = "an error in a line, and nothing is left"

ENTRY = {
    "entry": "baseline",
    "study": "tests",
    "kind": "classifier",
    "data": "phantom",
    "architecture": "test_efficientnet",
    "pixels": 64,
    "classes": CLASSES,
    "recipe": {},
    "scores": {},
    "versions": {},
    "commit": "",
    "split_sha256": "",
    "weights_sha256": "",
}

CACHE = """
from lesions import store
store.prepare(Path(sys.argv[1]), Path(sys.argv[2]) / "cache", 64)
"""
ARCHIVE = """
import hashlib, json, zoo.packaging.archive
from zoo.serving.torchserve import archiver
model = Path(sys.argv[2]) / "model.onnx"
entry = json.loads(Path(sys.argv[1]).read_text()) | {"model_sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
zoo.packaging.archive.pack(entry, model, Path(sys.argv[2]) / "store" / "baseline.mar", archiver.pack)
"""
RUN = """
import sys
from pathlib import Path
from lesions.errors import exit_on_user_error
with exit_on_user_error():
"""
"""What every command of `python -m zoo` does around its work."""


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def run(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    command = [sys.executable, "-c", RUN.strip() + "\n" + body, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, timeout=120)


def left(folder: Path) -> list[str]:
    """Files in `folder` that are no locks."""
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and not file.name.endswith(".lock"))


def test_the_cache(tiny: Path, tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(f"no file may be larger than {LIMIT:,} bytes: cache", PROMISED)
    done = run(CACHE, tiny, tmp_path)
    row.tried = 1
    assert done.returncode == 2
    assert "images.npy: File too large; make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert left(tmp_path) == []
    row.seen = "“images.npy: File too large; make room, and run the same command again”"


@pytest.mark.parametrize(
    ("size", "output"),
    [
        (LIMIT + 1, "model.onnx: File too large; make room, and run the same command again"),
        (LIMIT - 20_000, "torch-model-archiver failed on 'baseline' in "),
    ],
    ids=["its model", "the whole of it"],
)
def test_an_archive(size: int, output: str, tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(f"no file may be larger than {LIMIT:,} bytes: an archive, with a model of {size:,}", PROMISED)
    (tmp_path / "model.onnx").write_bytes(bytes(size))
    (tmp_path / "entry.json").write_text(json.dumps(ENTRY))
    done = run(ARCHIVE, tmp_path / "entry.json", tmp_path)
    row.tried = 1
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert output in done.stderr
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert left(tmp_path / "store") == []
    row.seen = f"“{output} ...”"
