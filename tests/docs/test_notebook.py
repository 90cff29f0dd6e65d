"""The notebook and the first lines of Python in the docs run, on a study of one small archive."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lesions.index import Index
from lesions.labels import CLASSES
from lesions.split import PARTS
from tests.faults.small_zoo import made
from zoo.metrics import predictions
from zoo.models.session import MODEL
from zoo.study import ROOT, Folders, Study

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_look.ipynb"


@pytest.fixture
def study(tmp_path: Path) -> Folders:
    """A checkout with the study phantom-demo: a picture, the archive `transfer` and its predictions."""
    folders, random = Folders(Study().name, tmp_path), np.random.default_rng(0)
    for room in ("lesions", "zoo"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    picture = tmp_path / "data" / "phantom" / "HAM10000_images_part_1" / "picture.jpg"
    picture.parent.mkdir(parents=True)
    Image.fromarray(random.integers(0, 255, (45, 60, 3), dtype=np.uint8)).save(picture)
    entry, model = made("classifier", tmp_path / "classifier")
    folders.archives.mkdir(parents=True)
    with zipfile.ZipFile(folders.archives / "transfer.mar", "w") as archive:
        archive.writestr("entry.json", json.dumps(entry | {"entry": "transfer", "study": folders.name}))
        archive.write(model, MODEL)
    labels = np.arange(280) % len(CLASSES)
    index = Index(tuple(f"image{k}" for k in range(280)), labels, tuple(f"lesion{k}" for k in range(280)))
    parts = np.where(np.arange(280) < 140, PARTS.index("valid"), PARTS.index("test"))
    run = folders.run("transfer")
    run.mkdir(parents=True)
    predictions.write(run / "predictions.csv", index, parts, random.dirichlet(np.ones(len(CLASSES)), 280))
    return folders


def run(code: str, folder: Path, *arguments: str) -> str:
    """Run Python in `folder`, and return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = code_cells(NOTEBOOK)
    assert cells
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]


@pytest.mark.slow
def test_the_notebook_runs(study: Folders) -> None:
    notebook = study.root / "docs" / "notebooks" / NOTEBOOK.name
    notebook.parent.mkdir(parents=True)
    shutil.copy(NOTEBOOK, notebook)
    run("from nbclient.cli import main; main()", notebook.parent, "--inplace", notebook.name)
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    # Probabilities, overlay, confusion matrix, reliability diagram.
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_lines_of_the_docs_run(page: str, study: Folders) -> None:
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    code = next(block for block in blocks if "from zoo import load" in block)
    printed = run(code, study.root)
    assert "'mel'" in printed
    assert Image.open(study.root / "overlay.png").format == "PNG"
