"""The report: one page that needs no other file, and that can be read on a phone and printed."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from compare import figures
from compare.answers import Answers
from compare.labeled import LabeledImages
from compare.references import TOLERANCE
from compare.results import AGAINST, Result, Results, most_misclassified
from lesions.files import atomic_write
from lesions.images import center_square, decode
from lesions.labels import CLASSES, DATA_LICENSE, DIAGNOSES, NOTICE
from lesions.sources.left_out import counted
from zoo.metrics import challenge, malignancy
from zoo.metrics.bootstrap import PAIRED_RESAMPLES, RESAMPLES, SIGNIFICANCE_LEVEL
from zoo.metrics.scores import BINS
from zoo.packaging import card

THUMBNAILS, THUMBNAIL = 24, 112
"""How many of the images that most versions get wrong are shown, and at how many pixels."""


def page(results: Results, labeled: LabeledImages, answers: Mapping[str, Answers], folder: Path) -> Path:
    """Write `index.html` into `folder`, and return it. Raises `DataError` where an image cannot be read."""
    predictions = {result.entry: answers[result.entry].predictions(labeled.index) for result in results.results}
    highlighted = list(dict.fromkeys((results.results[0].entry, *AGAINST, results.champion)))
    bar = tqdm(results.results, "drawing", unit="version", disable=None)
    first = answers[results.results[0].entry].described
    text = card.template(Path(__file__).with_name("report.html.j2"), autoescape=True).render(
        results=results,
        counted=counted,
        notice=NOTICE,
        license=first.get("data_licence"),
        ham10000=first.get("data_licence") == DATA_LICENSE,
        cites_ham10000=DATA_LICENSE in (first.get("data_licence") or ""),
        outside=None if labeled.split_sha256 else labeled.name,
        data=first["data"],
        starts=sorted({_start(version.described) for version in answers.values()} - {"random", "unknown"}),
        classes=CLASSES,
        diagnoses=DIAGNOSES,
        tolerance=TOLERANCE,
        resamples=RESAMPLES,
        paired_resamples=PAIRED_RESAMPLES,
        level=SIGNIFICANCE_LEVEL,
        bins=BINS,
        targets=malignancy.TARGETS,
        challenge_words=challenge.IN_WORDS,
        challenge_means=challenge.means,
        macro_f1=figures.macro_f1(results.results, results.champion),
        heat_map=figures.class_heat_map(results.results),
        melanoma=figures.melanoma_roc(predictions, [name for name in highlighted if name in predictions])
        if results.results[0].scores.melanoma_sensitivity is not None
        else None,
        misclassified=[
            _thumbnail(labeled, answers, row, mistakes)
            for row, mistakes in most_misclassified(labeled, list(answers.values()), THUMBNAILS)
        ],
        cards=[_card(result, answers[result.entry], labeled) for result in bar],
    )
    atomic_write(folder / "index.html", text)
    return folder / "index.html"


def _card(result: Result, answers: Answers, labeled: LabeledImages) -> dict[str, Any]:
    """The variables of the page's section on one version."""
    predictions = answers.predictions(labeled.index)
    return {
        "result": result,
        "described": answers.described,
        "recipe": _recipe(answers.described),
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
    if "members" in described:
        weights = ", ".join(f"{name} {weight:.3f}" for name, weight in described["members"].items())
        return {"mean of": weights, "pixels": str(described["pixels"])}
    words = {"network": f"{described['architecture']}, {described['pixels']} px", "starts from": _start(described)}
    own = ("architecture", "pixels", "start")
    words |= card.recipe_in_words({name: value for name, value in recipe.items() if name not in own})
    if described["scores"].get("best_epoch"):  # 0 of an entry that trains nothing
        kept = "epoch kept, the last" if recipe.get("keep") == "last" else "best epoch, by validation"
        words[kept] = f"{described['scores']['best_epoch']} of {len(recipe.get('draws', ()))}"
    return words


def _start(described: Mapping[str, Any]) -> str:
    """Where the weights come from; a file's digest is shortened."""
    start = str(described["recipe"].get("start", "unknown"))
    name, _, digest = start.partition(" sha256 ")
    return f"{name} (sha256 {digest[:12]}...)" if digest else start


def _thumbnail(labeled: LabeledImages, answers: Mapping[str, Answers], row: int, mistakes: int) -> dict[str, Any]:
    """A small JPEG of an image, its true class, and the class that most versions predict."""
    image = labeled.index.images[row]
    content = io.BytesIO()
    Image.fromarray(center_square(decode(labeled.source.read(image)), THUMBNAIL)).save(content, "JPEG", quality=75)
    probabilities = np.array([version.by_image[image].probabilities for version in answers.values()])
    predicted = [CLASSES[k] for k in probabilities.argmax(1)]
    return {
        "image": image,
        "true": CLASSES[labeled.index.labels[row]],
        "predicted": max(sorted(set(predicted)), key=predicted.count),
        "mistakes": mistakes,
        "url": f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}",
    }
