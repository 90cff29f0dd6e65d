"""A page on a study's generators: their images, the quality at each step, and whether a classifier recognizes them."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from PIL import Image

from gan import trained
from gan.critics import FROZEN
from gan.data import Images, load_part
from gan.drawing import draw
from gan.features import Features
from gan.gan_train import IMAGES_PER_CLASS as TAUGHT_PER_CLASS
from gan.quality import Quality, QualityEvaluator, recognition
from lesions import split, store
from lesions.files import atomic_write
from lesions.labels import CLASSES
from zoo.kinds.base import SOURCE, Parent, RecipeError
from zoo.kinds.classifier import CLASSIFIER, ClassifierRecipe
from zoo.kinds.generator import GeneratorRecipe
from zoo.metrics.scores import QUALITY
from zoo.models.predictor import Predictor
from zoo.models.session import MODEL
from zoo.packaging.card import template
from zoo.study import Folders, StudyError

TRAIN, VALID, TEST = range(3)  # parts of the split, as in `split.PARTS`
IMAGES_PER_CLASS = 100  # synthetic images of each class that the classifier gets
ENLARGED = 640  # the smallest width of a canvas on the page: it is enlarged by a whole number
REAL, SMALL = "real test images", "the same, at {} px"
FLOOR = "real training images"
Reports = dict[str, dict[str, Any]]
"""By generator: its scores.json, with "recipe" and "training"."""


class Judge(NamedTuple):
    """A network whose features quality is measured by."""

    architecture: str
    weights: Path


def write_page(folders: Folders, names: list[str], classifier: str, out: Path, judge: Judge | None = None) -> None:
    """Write `out`/README.md on the generators `names`, and beside it their curves and canvases as PNG.

    `classifier` is an entry trained on real images; the features of a second `judge` are reported beside those that the
    training went by. Raises `StudyError` where an entry is not trained or `classifier` is none, `WeightsError` where
    the judge's weights do not fit.
    """
    torch.set_num_threads(folders.read().threads)  # small networks: more threads only wait for each other
    reports = {name: _read_report(folders, name) for name in names}
    recognized = _recognize(folders, reports, classifier)
    page = template(Path(__file__).with_name("report.md.j2")).render(
        study=folders.name,
        classifier=classifier,
        reports=reports,
        recognized=recognized,
        ratios={name: _ratios(recognized, report) for name, report in reports.items()},
        classes=CLASSES,
        measures=QUALITY,
        images_per_class=IMAGES_PER_CLASS,
        taught_per_class=TAUGHT_PER_CLASS,
        on_test=_measure(folders, reports, TEST),
        judge=judge,
        by_judge=None if judge is None else _measure(folders, reports, VALID, judge),
        frozen=FROZEN,
        floor=FLOOR,
    )
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / "curves.png", _curves(reports))
    for name in names:
        atomic_write(out / f"{name}.png", _enlarged(folders.run(name) / "canvas.png"))
    atomic_write(out / "README.md", page)


def best_classifier(folders: Folders) -> str:
    """The classifier with the best balanced accuracy on validation among those trained on real images alone.

    Those with eight views are left out: they would look at each image eight times. Raises `StudyError` where none is
    trained.
    """
    accuracies = {}
    for file in sorted(folders.runs.glob("*/weights.safetensors")):
        try:
            is_classifier = _read_json(file.parent / "about.json")["kind"] == CLASSIFIER.name
            if is_classifier and _is_judge(folders, file.parent.name):
                scores = _read_json(file.parent / "scores.json")
                accuracies[file.parent.name] = scores["valid"]["balanced_accuracy"]
        except (OSError, ValueError, LookupError, RecipeError):  # the source, or a training that is not complete
            continue
    if not accuracies:
        advice = "make zoo ENTRIES=transfer_oversampling"
        raise StudyError(f"no classifier is trained yet in study {folders.name}; {advice}")
    return max(accuracies, key=accuracies.__getitem__)


def _is_judge(folders: Folders, name: str) -> bool:
    recipe = ClassifierRecipe.read(folders.run(name) / "recipe.json")
    return recipe.views == 1 and _saw_real_images_alone(folders, name)


def _saw_real_images_alone(folders: Folders, name: str) -> bool:
    """Whether no generator had a part in the training of the classifier `name` or of its parents."""
    recipe = ClassifierRecipe.read(folders.run(name) / "recipe.json")
    parent = recipe.start.entry if isinstance(recipe.start, Parent) else None
    return recipe.generator is None and (parent is None or _saw_real_images_alone(folders, parent))


@contextmanager
def _reading(folders: Folders, name: str) -> Iterator[None]:
    """Raise `StudyError` where a file of the entry `name` is missing or damaged."""
    try:
        yield
    except OSError as error:
        raise StudyError(f"{name} is not trained yet in study {folders.name} ({error.filename})") from None
    except ValueError as error:
        raise StudyError(f"a file of {folders.run(name)} is damaged ({error}); run `make zoo` again") from None


def _read_json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _read_report(folders: Folders, name: str) -> dict[str, Any]:
    """The scores.json of the generator `name`, with its recipe and training.json."""
    run = folders.run(name)
    with _reading(folders, name):
        report = _read_json(run / "scores.json")
        report["recipe"] = GeneratorRecipe.read(run / "recipe.json")
        report["training"] = _read_json(run / "training.json")
    if report["recipe_sha256"] != report["recipe"].sha256:
        raise StudyError(f"{name} was trained by another recipe; make zoo ENTRIES={name}")
    return report


def _recognize(folders: Folders, reports: Reports, classifier: str) -> dict[str, dict[str, float]]:
    """How well `classifier` recognizes real test images, the same at the generators' sizes, and synthetic images."""
    run = folders.run(classifier)
    with _reading(folders, classifier):
        if (kind := _read_json(run / "about.json").get("kind")) != CLASSIFIER.name:
            raise StudyError(f"{classifier} is of the kind {kind!r}; a judge is a classifier")
        recipe = ClassifierRecipe.read(run / "recipe.json")
    predictor = Predictor(run / MODEL, recipe.pixels, len(CLASSES))
    shown = {REAL: _load_part(folders, TEST, recipe.pixels)}
    for name, report in reports.items():
        drawn_by: GeneratorRecipe = report["recipe"]
        if drawn_by.pixels != recipe.pixels:
            shown[SMALL.format(drawn_by.pixels)] = _load_part(folders, TEST, drawn_by.pixels)
        generator = trained.load_generator(folders.run(name), drawn_by.pixels, drawn_by.width)
        labels = torch.arange(len(CLASSES)).repeat_interleave(IMAGES_PER_CLASS)
        shown[name] = Images(torch.cat(list(draw(generator, labels, drawn_by.seed))), labels)
    return {name: recognition(part, predictor, recipe.pixels) for name, part in shown.items()}


def _measure(folders: Folders, reports: Reports, part: int, judge: Judge | None = None) -> dict[str, Quality]:
    """The quality of each generator, and of real training images (`FLOOR`), against a `part` of the split.

    By the features of the study's pretrained backbone, unless there is another `judge`.
    """
    study, first = folders.read(), next(iter(reports.values()))["recipe"]
    judge = judge or Judge(study.arch, folders.run(SOURCE) / "weights.safetensors")
    features = Features(judge.architecture, judge.weights, study.pixels)
    training, real = (_load_part(folders, number, first.pixels) for number in (TRAIN, part))
    evaluator = QualityEvaluator(features, training, real, first.seed)
    measured = {FLOOR: evaluator.floor}
    for name, report in reports.items():
        drawn_by = report["recipe"]
        measured[name] = evaluator.measure(trained.load_generator(folders.run(name), drawn_by.pixels, drawn_by.width))
    return measured


def _load_part(folders: Folders, part: int, pixels: int) -> Images:
    images = store.load(folders.store(folders.read()))
    return load_part(images, split.read(folders.split, images.index.images), part, pixels)


def _ratios(recognized: dict[str, dict[str, float]], report: dict[str, Any]) -> list[float]:
    """The balanced accuracy on a generator's images, over that on real ones at both sizes."""
    real = [recognized[name] for name in (REAL, SMALL.format(report["recipe"].pixels)) if name in recognized]
    accuracy = recognized[report["recipe"].entry]["balanced_accuracy"]
    return [accuracy / scores["balanced_accuracy"] for scores in real]


def _curves(reports: Reports) -> bytes:
    """Each measure over the steps, as PNG; the floor dashed."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    floor = next(iter(reports.values()))["floor"]
    missing = float("nan")  # a measure that came after the training
    for axes, (key, title) in zip(figure.subplots(2, 4).flat, QUALITY.items(), strict=False):
        for color, (name, report) in zip(mpl.color_sequences["tab10"], reports.items(), strict=False):
            steps = [row["step"] for row in report["history"]]
            axes.plot(steps, [row.get(key, missing) for row in report["history"]], ".-", color=color, label=name)
        axes.axhline(floor.get(key, missing), color="black", linestyle="--", linewidth=0.8, label="real images")
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in figure.axes[len(QUALITY) :]:
        axes.set_axis_off()
    for axes in figure.axes[3 : len(QUALITY)]:
        axes.set_xlabel("step", fontsize=9)
    figure.axes[0].legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _enlarged(canvas: Path) -> bytes:
    """The picture `canvas`, enlarged by a whole number without interpolation, as PNG."""
    with Image.open(canvas) as opened:
        factor = -(-ENLARGED // opened.width)
        content = io.BytesIO()
        opened.resize((opened.width * factor, opened.height * factor), Image.Resampling.NEAREST).save(content, "PNG")
    return content.getvalue()
