"""What an archive says of itself: `entry.json`, with recipe, scores and origins, and a model card for people."""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lesions import split
from lesions.files import sha256
from lesions.labels import CLASSES, DATA_LICENSE, DIAGNOSES, MIXED_LICENSE, NOTICE, UNKNOWN_LICENSE
from zoo.kinds import KINDS
from zoo.models.session import MODEL
from zoo.models.weights import origin_of
from zoo.study import Folders, StudyError

LEFT_OUT = ("threads", "views")
"""Options that a card leaves out where they are 1, as they mostly are."""


def entry(folders: Folders, name: str) -> dict[str, Any]:
    """The `entry.json` of a trained entry.

    Raises `DataError` where the split is gone, `FileNotFoundError` where the entry is not trained, and `StudyError`
    where its recipe is no longer the one that weights and scores are of, or one of these is damaged.
    """
    run, study = folders.run(name), folders.read()
    about, scores, training = (_read(run / f"{file}.json") for file in ("about", "scores", "training"))
    weights, model = run / "weights.safetensors", sha256(run / MODEL)
    if not sha256(run / "recipe.json") == scores.get("recipe_sha256") == origin_of(weights).get("recipe_sha256"):
        raise StudyError(f"{name}: recipe, weights and scores do not belong together; run `make zoo` again")
    if model != scores.get("model_sha256"):
        raise StudyError(f"{name}: {run / MODEL} is not the model that was scored; run `make zoo` again")
    if about.get("kind") not in KINDS:
        raise StudyError(f"{run / 'about.json'} does not name a kind of entry; run `make zoo` again")
    kind, phantom = KINDS[about["kind"]], study.data == "phantom"
    recipe = kind.recipe.read(run / "recipe.json")
    fields = recipe.model_dump()
    return {
        "entry": name,
        "kind": kind.name,
        "study": folders.name,
        "about": about["about"],
        "thesis": about["thesis"],
        "notice": NOTICE,
        "data": "phantom: procedural pictures, no patients' data" if phantom else study.data_name,
        "data_licence": None if phantom else license_of(folders),
        "classes": list(CLASSES),
        "model_sha256": model,
        "weights_sha256": sha256(weights),
        "split_sha256": fields["split_sha256"],
        "versions": training["versions"],
        "hardware": training["hardware"],
        "commit": training["commit"],
        "recipe": fields,
    } | kind.describe(recipe, scores)


def license_of(folders: Folders) -> str:
    """The license of a study's images, by their names."""
    ours = split.load(folders.split).index.of_ham10000
    return DATA_LICENSE if ours.all() else MIXED_LICENSE if ours.any() else UNKNOWN_LICENSE


def _read(file: Path) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises `StudyError` where it is damaged."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise StudyError(f"{file} is damaged; run `make zoo` again") from None


def markdown(entry: Mapping[str, Any]) -> str:
    """The model card (Mitchell et al., FAT* 2019) of an `entry.json`, as Markdown; the same text for the same entry."""
    card = template(Path(__file__).with_name("model_card.md.j2"))
    recipe = entry.get("recipe", {})
    options = {name: value for name, value in recipe.items() if not (name in LEFT_OUT and value == 1)}
    texts = {"diagnoses": DIAGNOSES, "notice": NOTICE, "license": DATA_LICENSE}
    return card.render(entry=entry, recipe=recipe_in_words(options), **texts)


def template(file: Path, autoescape: bool = False) -> Template:
    """The template in `file`: a name that it is not given is an error, and lines of tags alone leave none.

    `autoescape` is for HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(file.name)


def recipe_in_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The options of a resolved recipe, by name, without digests and without those that are off.

    Numbers of images are put together where epochs have the same: `7,011 x 2, 5,000 x 1`.
    """
    words: dict[str, str] = {}
    for name, value in sorted(recipe.items()):
        # `real` is true in all but one kind of experiment.
        if name == "entry" or name.endswith("sha256") or value is True or value in (None, []):
            continue
        if name in ("draws", "fill_up"):
            epochs = [(images, len(list(group))) for images, group in groupby(value)]
            words[f"{name.replace('_', ' ')}, by epoch"] = ", ".join(f"{images:,} x {n}" for images, n in epochs)
        elif name == "members":
            words[name] = ", ".join(value)
        elif isinstance(value, Mapping):
            words[name] = ", ".join(f"{key} {number:,}" for key, number in value.items())
        else:
            words[name.replace("_", " ")] = str(value)
    return words
