"""A page on a study's generators: what they draw, how good it was at each step, and whether its classes can be told."""

import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from PIL import Image

from gan import trained
from gan.data import Images, load_part
from gan.drawing import draw
from gan.quality import recognition
from lesions import split, store
from lesions.files import atomic_write
from lesions.labels import CLASSES
from zoo import generator_recipe, recipe
from zoo.metrics.scores import QUALITY
from zoo.study import Folders, StudyError

EACH = 100
"""Images of each class that are shown to the classifier."""

ENLARGED = 640
"""A canvas is shown at the multiple of its size that is next above so many pixels across."""

REAL, SMALL = "real test images", "the same, at {} px"


def write_page(folders: Folders, names: list[str], judge: str, out: Path) -> None:
    """Write `out`/README.md, with the curves and the canvas of each of the generators `names` as PNG beside it.

    `judge` is a classifier entry trained on real images. Raises `StudyError` where a generator or it is not trained.
    """
    reports = {name: _report(folders, name) for name in names}
    judged = _judged(folders, names, judge)
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / "curves.png", _curves(reports))
    for name in names:
        atomic_write(out / f"{name}.png", _enlarged(folders.run(name) / "canvas.png"))
    atomic_write(out / "README.md", _page(folders, reports, judged, judge))


def best_judge(folders: Folders) -> str:
    """The classifier that names validation images best (balanced accuracy) among those that saw real images alone.

    Raises `StudyError` where none is trained.
    """
    scored = {}
    for file in sorted(folders.runs.glob("*/weights.safetensors")):
        try:
            report = json.loads((file.parent / "scores.json").read_text(encoding="utf-8"))
            if "valid" in report and _saw_real_images_alone(folders, file.parent.name):
                scored[file.parent.name] = report["valid"]["balanced_accuracy"]
        except (OSError, ValueError, LookupError):  # the source, or a training that is not whole
            continue
    if not scored:
        raise StudyError(
            f"no classifier is trained yet in study {folders.name}; make zoo ENTRIES=transfer_oversampling"
        )
    return max(scored, key=scored.__getitem__)


def _saw_real_images_alone(folders: Folders, name: str) -> bool:
    resolved = recipe.read(folders.run(name) / "recipe.json")
    if resolved.generator is not None:
        return False
    return resolved.parent_sha256 is None or _saw_real_images_alone(folders, resolved.start.removeprefix("parent "))


def _report(folders: Folders, name: str) -> dict[str, Any]:
    run = folders.run(name)
    try:
        found: dict[str, Any] = json.loads((run / "scores.json").read_text(encoding="utf-8"))
        found["recipe"] = generator_recipe.read(run / "recipe.json")
        found["training"] = json.loads((run / "training.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{name} is not trained yet in study {folders.name} ({error.filename})") from None
    except ValueError as error:
        raise StudyError(f"a file of {run} is damaged ({error}); run `make zoo` again") from None
    if found["recipe_sha256"] != found["recipe"].sha256:
        raise StudyError(f"{name} was trained by another recipe; make zoo ENTRIES={name}")
    return found


def _judged(folders: Folders, names: list[str], judge: str) -> dict[str, dict[str, float]]:
    """How well the entry `judge` names real test images, the same at the generators' size, and synthetic ones."""
    run = folders.run(judge)
    try:
        resolved = recipe.read(run / "recipe.json")
        scored = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{judge} is not trained yet in study {folders.name} ({error.filename})") from None
    except ValueError as error:
        raise StudyError(f"a file of {run} is damaged ({error}); run `make zoo` again") from None
    loaded = store.load(folders.store(folders.read()))
    parts = split.read(folders.split, loaded.index.images)
    weights = run / "weights.safetensors"
    shown: dict[str, Images] = {REAL: load_part(loaded, parts, 2, resolved.pixels)}
    for name in names:
        drawn = generator_recipe.read(folders.run(name) / "recipe.json")
        if drawn.pixels != resolved.pixels:
            shown[SMALL.format(drawn.pixels)] = load_part(loaded, parts, 2, drawn.pixels)
        generator = trained.load_generator(folders.run(name), drawn.pixels, drawn.width)
        labels = torch.arange(len(CLASSES)).repeat_interleave(EACH)
        shown[name] = Images(torch.cat(list(draw(generator, labels, drawn.seed))), labels)
    return {what: recognition(part, weights, resolved, scored) for what, part in shown.items()}


def _page(folders: Folders, reports: dict[str, dict[str, Any]], judged: dict[str, dict[str, float]], judge: str) -> str:
    """The page, in Markdown."""
    first = next(iter(reports.values()))
    lines = [
        f"# The generators of study `{folders.name}`",
        "",
        "All images on this page are synthetic. It was written by",
        f"`python -m gan report {' '.join(reports)} --judge {judge} --study {folders.name}`.",
        "",
        "## Quality on validation images",
        f"Features: {first['features']}. The floor is what as many real training images of each class get.",
        "The step with the smallest KID is the one that is served.",
        "",
        _row("", "steps", "best step", *QUALITY.values(), "hours"),
        _row(*["---"] * (len(QUALITY) + 4)),
        _row("floor", "", "", *(_figure(first["floor"][key]) for key in QUALITY), ""),
    ]
    for name, report in reports.items():
        for what in ("best", "last"):
            figures = (_figure(report[what][key]) for key in QUALITY)
            hours = f"{report['training']['seconds'] / 3600:.2f}"
            lines.append(_row(f"{name}, {what}", str(report["steps"]), str(report[what]["step"]), *figures, hours))
    lines += [
        "",
        f"Hardware: {first['training']['hardware']}, {first['recipe'].threads} thread(s) each, {first['precision']}.",
        "",
        "![curves](curves.png)",
        "",
        "## Can the classes be told?",
        f"Recall of each class by the entry `{judge}`, trained on real images ({EACH} synthetic images a class).",
        "In brackets: over its balanced accuracy on real images, at their own size and at the synthetic ones'.",
        "",
        _row("shown", *CLASSES, "balanced accuracy"),
        _row(*["---"] * (len(CLASSES) + 2)),
    ]
    for what, figures_ in judged.items():
        cells = [f"{figures_[label]:.2f}" for label in (*CLASSES, "balanced_accuracy")]
        if what in reports:
            rivals = (REAL, SMALL.format(reports[what]["recipe"].pixels))
            shares = [
                figures_["balanced_accuracy"] / judged[rival]["balanced_accuracy"]
                for rival in rivals
                if rival in judged
            ]
            cells[-1] += f" ({', '.join(f'{share:.2f}' for share in shares)})"
        lines.append(_row(what, *cells))
    lines += ["", "## Copies?"]
    lines += [
        "The median distance from a synthetic image to the nearest training image of its class, over that of real",
        "validation images: well below 1 means copies.",
        "",
        _row("", *CLASSES),
        _row(*["---"] * (len(CLASSES) + 1)),
    ]
    for name, report in reports.items():
        lines.append(_row(name, *(f"{report['distance_to_training'][label]:.2f}" for label in CLASSES)))
    for name, report in reports.items():
        resolved = report["recipe"]
        lines += [
            "",
            f"## {name}",
            f"{resolved.pixels} px, width {resolved.width}, batch {resolved.batch}, step {report['best_step']} of "
            f"{report['steps']}. Rows: {', '.join(CLASSES)}; a column is one latent vector.",
            "",
            f"![{name}]({name}.png)",
        ]
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _curves(reports: dict[str, dict[str, Any]]) -> bytes:
    """Each measure over the steps, as PNG; the floor dashed."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    floor = next(iter(reports.values()))["floor"]
    for axes, (key, title) in zip(figure.subplots(2, 3).flat, QUALITY.items(), strict=True):
        for color, (name, report) in zip(mpl.color_sequences["tab10"], reports.items(), strict=False):
            steps = [past["step"] for past in report["history"]]
            axes.plot(steps, [past[key] for past in report["history"]], ".-", color=color, label=name)
        axes.axhline(floor[key], color="black", linestyle="--", linewidth=0.8, label="real training images")
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in figure.axes[3:]:
        axes.set_xlabel("step", fontsize=9)
    figure.axes[0].legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _enlarged(canvas: Path) -> bytes:
    """The picture `canvas` at a whole multiple of its size, no pixel blurred."""
    with Image.open(canvas) as opened:
        times = -(-ENLARGED // opened.width)
        content = io.BytesIO()
        opened.resize((opened.width * times, opened.height * times), Image.Resampling.NEAREST).save(content, "PNG")
    return content.getvalue()
