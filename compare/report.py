"""The report: one page that needs no other file, and that can be read on a phone and printed."""

import base64
import io
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from tqdm import tqdm

from compare import figures
from compare.answers import Answers
from compare.labeled import LabeledImages
from compare.offline import TOLERANCE
from compare.results import AGAINST, Result, Results, wrong
from lesions.files import atomic_write
from lesions.images import center_square, decode
from lesions.labels import CLASSES, DIAGNOSES, NOTICE
from zoo.metrics.bootstrap import PAIRED_RESAMPLES, RESAMPLES
from zoo.metrics.scores import BINS

MOST_WRONG, THUMBNAIL = 24, 112
"""How many of the images that most versions get wrong are shown, and at how many pixels."""


def page(results: Results, labeled: LabeledImages, answers: Mapping[str, Answers], folder: Path) -> Path:
    """Write `index.html` into `folder`, and return it. Raises `DataError` where an image cannot be read."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    predictions = {result.entry: answers[result.entry].predictions(labeled.index) for result in results.results}
    named = list(dict.fromkeys((results.results[0].entry, *AGAINST, results.champion)))
    bar = tqdm(results.results, "drawing", unit="version", disable=None)
    first = answers[results.results[0].entry].described
    text = environment.get_template("report.html.j2").render(
        results=results,
        notice=NOTICE,
        phantom=first.get("data_licence") is None,
        license=first.get("data_licence"),
        data=first["data"],
        starts=sorted({_start(given.described) for given in answers.values()} - {"random"}),
        classes=CLASSES,
        diagnoses=DIAGNOSES,
        tolerance=TOLERANCE,
        resamples=RESAMPLES,
        paired_resamples=PAIRED_RESAMPLES,
        bins=BINS,
        macro_f1=figures.macro_f1(results.results, results.champion),
        heat_map=figures.class_heat_map(results.results),
        melanoma=figures.melanoma_roc(predictions, [name for name in named if name in predictions])
        if results.results[0].scores.melanoma_sensitivity is not None
        else None,
        wrong=[_thumbnail(labeled, answers, row, n) for row, n in wrong(labeled, list(answers.values()), MOST_WRONG)],
        cards=[_card(result, answers[result.entry], labeled) for result in bar],
    )
    atomic_write(folder / "index.html", text)
    return folder / "index.html"


def _card(result: Result, given: Answers, labeled: LabeledImages) -> dict[str, Any]:
    """What the page says of one version alone."""
    described, predictions = given.described, given.predictions(labeled.index)
    facts = {
        "weights": f"sha256 {described['weights_sha256']}",
        "split": f"sha256 {described['split_sha256']}",
        "commit": described.get("commit", "unknown"),
        "trained on": described.get("hardware", "unknown"),
        "libraries": ", ".join(f"{name} {version}" for name, version in described["versions"].items()),
        "data": described["data"],
        "license of the data": described.get("data_licence", "none: made here"),
    }
    return {
        "result": result,
        "thesis": (described.get("thesis") or {}).get("section"),
        "recipe": _recipe(described),
        "facts": facts,
        "figures": {
            "confusion matrix, images": figures.confusion(result.scores.confusion, normalized=False),
            "confusion matrix, share of the true class": figures.confusion(result.scores.confusion, normalized=True),
            "ROC curves, each class against the rest": figures.roc(predictions, result),
            "reliability": figures.reliability(predictions),
        },
    }


def _recipe(described: Mapping[str, Any]) -> dict[str, str]:
    """The resolved recipe in words, without the digests."""
    recipe = described["recipe"]
    said = {"network": f"{described['architecture']}, {described['pixels']} px", "starts from": _start(described)}
    for name, value in recipe.items():
        if name in ("entry", "architecture", "pixels", "start") or name.endswith("sha256"):
            continue
        if name in ("draws", "fill_up") and value:
            runs = [(images, len(list(several))) for images, several in groupby(value)]
            said[f"{name.replace('_', ' ')}, by epoch"] = ", ".join(f"{images:,} x {n}" for images, n in runs)
        elif value is not True and value not in (None, []):  # `real` is true of all but one kind of experiment
            said[name.replace("_", " ")] = str(value).replace("_", " ")
    if "best_epoch" in described["scores"]:
        said["best epoch, by validation"] = f"{described['scores']['best_epoch']} of {len(recipe.get('draws', ()))}"
    return said


def _start(described: Mapping[str, Any]) -> str:
    """Where the weights come from; a file's digest is shortened."""
    start = str(described["recipe"].get("start", "unknown"))
    name, found, digest = start.partition(" sha256 ")
    return f"{name} (sha256 {digest[:12]}...)" if found else start


def _thumbnail(labeled: LabeledImages, answers: Mapping[str, Answers], row: int, mistakes: int) -> dict[str, Any]:
    """A small JPEG of an image, and what was said of it."""
    image = labeled.index.images[row]
    content = io.BytesIO()
    Image.fromarray(center_square(decode(labeled.source.read(image)), THUMBNAIL)).save(content, "JPEG", quality=75)
    told = [given.by_image[image].probabilities for given in answers.values()]
    said = [CLASSES[row_.index(max(row_))] for row_ in told]
    return {
        "image": image,
        "true": CLASSES[labeled.index.labels[row]],
        "said": max(sorted(set(said)), key=said.count),
        "mistakes": mistakes,
        "url": f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}",
    }
