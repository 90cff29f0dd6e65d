"""What an archive says of itself: `entry.json`, with recipe, scores and origins, and a model card for people."""

import hashlib
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lesions.labels import CLASSES, DATA_LICENSE, DIAGNOSES, NOTICE
from zoo import generator_recipe, recipe
from zoo.build import integrity
from zoo.study import Folders, StudyError


def entry(folders: Folders, name: str) -> dict[str, Any]:
    """The `entry.json` of a trained entry.

    Raises `FileNotFoundError` where it is not trained, and `StudyError` where its recipe is no longer the one that
    weights and scores are of, or one of these is damaged.
    """
    run, study = folders.run(name), folders.read()
    about, report, training = (_said(run / f"{file}.json") for file in ("about", "scores", "training"))
    wanted = hashlib.sha256((run / "recipe.json").read_bytes()).hexdigest()
    weights = run / "weights.safetensors"
    if not wanted == report.get("recipe_sha256") == integrity.origin_of(weights).get("recipe_sha256"):
        raise StudyError(f"{name}: recipe, weights and scores do not belong together; run `make zoo` again")
    phantom = study.data == "phantom"
    said = {
        "entry": name,
        "study": folders.name,
        "about": about["about"],
        "thesis": about["thesis"],
        "notice": NOTICE,
        "data": "phantom: procedural pictures, no patients' data" if phantom else study.data_name,
        "data_licence": None if phantom else DATA_LICENSE,
        "classes": list(CLASSES),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "versions": training["versions"],
        "hardware": training["hardware"],
        "commit": training["commit"],
    }
    generates = "steps" in json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    return said | (_generator(run, report) if generates else _classifier(run, report))


def _said(file: Path) -> dict[str, Any]:
    """What a run says of itself in `file`."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise StudyError(f"{file} is damaged; run `make zoo` again") from None


def _classifier(run: Path, report: dict[str, Any]) -> dict[str, Any]:
    resolved = recipe.read(run / "recipe.json")
    return {
        "kind": "classifier",
        "architecture": resolved.architecture,
        "pixels": resolved.pixels,
        "mean": report["mean"],
        "deviation": report["deviation"],
        "recipe": resolved.model_dump(),
        "scores": {key: report[key] for key in ("best_epoch", "valid", "test", "last_epoch")},
        "split_sha256": resolved.split_sha256,
    } | ({"calibration": report["calibration"]} if "calibration" in report else {})


def _generator(run: Path, report: dict[str, Any]) -> dict[str, Any]:
    resolved = generator_recipe.read(run / "recipe.json")
    return {
        "kind": "generator",
        "pixels": resolved.pixels,
        "width": resolved.width,
        "recipe": resolved.model_dump(),
        "scores": {key: value for key, value in report.items() if key != "history"},
        "split_sha256": resolved.split_sha256,
    }


def markdown(entry: Mapping[str, Any]) -> str:
    """The model card (Mitchell et al., FAT* 2019) of an `entry.json`, as Markdown; the same text for the same entry."""
    card = template(Path(__file__).with_name("model_card.md.j2"))
    return card.render(entry=entry, recipe=_in_words(entry.get("recipe", {})), diagnoses=DIAGNOSES, notice=NOTICE)


def template(file: Path) -> Template:
    """The Markdown template in `file`: a name that it is not given is an error, and lines of tags alone leave none."""
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(file.name)


def _in_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """A recipe without its digests; what each epoch says is put together where epochs say the same."""
    said: dict[str, str] = {}
    for name, value in sorted(recipe.items()):
        if name == "entry" or name.endswith("sha256") or value in (None, [], True):
            continue
        if name in ("draws", "fill_up"):
            runs = [(images, len(list(several))) for images, several in groupby(value)]
            said[f"{name.replace('_', ' ')}, by epoch"] = ", ".join(f"{images:,} x {n}" for images, n in runs)
        elif isinstance(value, Mapping):
            said[name] = ", ".join(f"{key} {number:,}" for key, number in value.items())
        else:
            said[name.replace("_", " ")] = str(value)
    return said
