"""Files of a run that are there and not whole, and what makes them anew. Reads no weights and imports no torch.

A killed process leaves none: files are written aside and renamed. A power cut, a copy that was cut short or a hand may.
"""

import csv
import json
import os
import sys
from collections.abc import Collection
from pathlib import Path

from lesions import store
from lesions.files import is_json_object
from lesions.index import DataError
from zoo.study import Folders, Study

GENERATOR = ("scores.json", "training.json")
CLASSIFIER = (*GENERATOR, "predictions.csv")
"""What belongs to a trained run beside its weights."""


def origin_of(weights: Path) -> dict[str, str]:
    """What a file of weights (safetensors) says it was made of; empty if nothing, or where it is not whole."""
    try:
        return dict(json.loads(_header(weights)["__metadata__"]["origin"]))
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def is_complete(run: Path, recipe_sha256: str, files: Collection[str]) -> bool:
    """Whether weights and scores of `run` are both of one recipe, and the `files` beside the weights are whole.

    Scores are written first: a run that was killed between them, and its recipe put back, has scores of another.
    """
    if origin_of(run / "weights.safetensors").get("recipe_sha256") != recipe_sha256 or damaged_files(run, files):
        return False
    scores = json.loads((run / "scores.json").read_bytes())
    return bool(scores.get("recipe_sha256") == recipe_sha256)


def is_intact(weights: Path) -> bool:
    """Whether a file of weights is there, and as long as its header says."""
    try:
        return bool(_header(weights))
    except (OSError, ValueError):
        return False


def _header(weights: Path) -> dict[str, dict[str, str]]:
    """A length, then JSON with the place of each tensor behind it. Raises `ValueError` where that does not fit."""
    with weights.open("rb") as file:
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError("cut short")
        content = file.read(length)
    try:
        header = json.loads(content)
        whole = 8 + length + max(place["data_offsets"][1] for name, place in header.items() if name != "__metadata__")
    except (AttributeError, LookupError, TypeError, RecursionError):
        raise ValueError("no header of safetensors") from None
    if size != whole:
        raise ValueError("cut short")
    return dict(header)


def damaged_files(run: Path, files: Collection[str]) -> list[Path]:
    """Those of the `files` that belong to a trained run and are damaged, or not there."""
    return [run / file for file in files if not (is_json_object if file.endswith(".json") else _is_table)(run / file)]


def _is_table(file: Path) -> bool:
    """Whether a CSV file has lines below its first, each of them as long, and the last one ended."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        return len(lines) > 1 and lines[-1].endswith("\n") and len({len(row) for row in csv.reader(lines)}) == 1
    except (OSError, ValueError, csv.Error):
        return False


def discard_damaged(folders: Folders, study: Study, classifiers: Collection[str], generators: Collection[str]) -> None:
    """Let make build again what is damaged in these runs and in the source's, and say what that is.

    Weights go where they, or what belongs to them, cannot be read: training goes on from its last checkpoint, and ends
    in the same bytes. A pool counts as begun, not as drawn: it is looked through, and decoded anew.
    """
    belonging = {"source": ()} | dict.fromkeys(classifiers, CLASSIFIER) | dict.fromkeys(generators, GENERATOR)
    for name, files in belonging.items():
        weights = folders.run(name) / "weights.safetensors"
        damaged = [] if is_intact(weights) else [weights]
        if weights.exists() and (damaged := damaged + damaged_files(weights.parent, files)):
            _say(damaged[0])
            weights.unlink()
    for name in generators:
        manifest, decoded = folders.run(name) / "pool" / "manifest.json", folders.pool(name, study)
        if manifest.exists() and not _is_readable(decoded):
            _say(decoded)
            manifest.replace(manifest.with_name("begun.json"))


def _say(file: Path) -> None:
    print(f"{file} is {'damaged' if file.exists() else 'gone'}: making it again", file=sys.stderr)


def _is_readable(folder: Path) -> bool:
    try:
        store.load(folder)
    except DataError:
        return False
    return True
