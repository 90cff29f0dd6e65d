"""Files of a run that are damaged, and what makes them anew. Reads no tensors and imports no torch.

A killed process leaves none: files are written aside and renamed. A power cut, an incomplete copy or a person may.
"""

import csv
import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from lesions import store
from lesions.files import is_json_object, sha256
from lesions.index import DataError
from zoo.kinds import Recipe, kind_of
from zoo.kinds.base import SOURCE
from zoo.models.weights import is_intact, origin_of
from zoo.study import Folders, Study


def is_complete(run: Path, recipe: Recipe) -> bool:
    """Whether weights and scores of `run` are both of this recipe, and the files beside the weights are intact.

    Scores are written first: a run that was killed between them, and its recipe put back, has scores of another recipe.
    """
    files = kind_of(recipe).files
    if origin_of(run / "weights.safetensors").get("recipe_sha256") != recipe.sha256 or damaged_files(run, files):
        return False
    return bool(json.loads((run / "scores.json").read_bytes()).get("recipe_sha256") == recipe.sha256)


def damaged_files(run: Path, files: Collection[str]) -> list[Path]:
    """Those of the `files` of a trained run that are damaged or missing."""
    checks = {".json": is_json_object, ".csv": _is_table, ".onnx": _is_scored_model}
    return [run / file for file in files if not checks[Path(file).suffix](run / file)]


def _is_scored_model(file: Path) -> bool:
    """Whether a model is the one that was scored, by its digest in `scores.json`."""
    try:
        scores = json.loads((file.parent / "scores.json").read_bytes())
        return bool(sha256(file) == scores["model_sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _is_table(file: Path) -> bool:
    """Whether a CSV file has rows below its header, all of the same length, and its last line ends."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            lengths = [len(row) for row in csv.reader(lines)]
        return len(lengths) > 1 and len(set(lengths)) == 1 and file.read_bytes().endswith(b"\n")
    except (OSError, ValueError, csv.Error):
        return False


def discard_damaged(folders: Folders, study: Study, recipes: Mapping[str, Recipe]) -> None:
    """Remove what is damaged in the runs of these entries and of the sources, with a message, so that make builds it.

    Weights are removed where they, or a file beside them, cannot be read: training goes on from its last checkpoint,
    and ends in the same bytes. A pool then counts as begun: its images are checked, and decoded anew.
    """
    sources = {run.name: () for run in folders.runs.glob(f"{SOURCE}*")}
    files = sources | {name: kind_of(recipe).files for name, recipe in recipes.items()}
    for name, beside in files.items():
        weights = folders.run(name) / "weights.safetensors"
        damaged = [] if is_intact(weights) else [weights]
        if weights.exists() and (damaged := damaged + damaged_files(weights.parent, beside)):
            _report(damaged[0])
            weights.unlink()
    for name, recipe in recipes.items():
        manifest, decoded = folders.run(name) / "pool" / "manifest.json", folders.pool(name, study)
        if kind_of(recipe).draws_pool and manifest.exists() and not _is_readable(decoded):
            _report(decoded)
            manifest.replace(manifest.with_name("begun.json"))


def distrust_future(folders: Folders) -> None:
    """Make outputs of a later time than now the oldest of all, so that make runs their steps, which go by content.

    A node's clock (`LAUNCH`) was ahead, and make was ended before it gave them its own time. Else make would take them
    for newer than recipes that are written after them.
    """
    clock = folders.runs / ".clock"
    clock.touch()  # by the clock that writes the other files' times, which may be a file server's
    now = clock.stat().st_mtime_ns
    outputs = [folders.runs.glob(pattern) for pattern in ("*/weights.safetensors", "*/pool/manifest.json")]
    for output in (*outputs[0], *outputs[1], *folders.archives.glob("*.mar")):
        if output.stat().st_mtime_ns > now:
            os.utime(output, (0, 0))


def _report(file: Path) -> None:
    print(f"{file} is {'damaged' if file.exists() else 'gone'}: making it again", file=sys.stderr)


def _is_readable(folder: Path) -> bool:
    try:
        store.load(folder)
    except DataError:
        return False
    return True
