"""The report's figures: each as SVG, to be laid into the page."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from compare.results import Result
from compare.style import ACCENT, INK, PALE, SOFT, STYLE, cells, class_cells
from lesions.labels import CLASSES
from zoo.metrics.scores import BINS, SPECIFICITY, Predictions

COLORS = dict(zip(CLASSES, mpl.color_sequences["tab10"], strict=False))
"""Of the classes, in all figures."""


@dataclass
class Drawing:
    """Axes to draw on, and what they became."""

    axes: Axes
    url: str = ""
    """The figure as a data URL of SVG, once it is drawn."""


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Drawing]:
    """A drawing of `width` x `height` inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        drawing = Drawing(figure.subplots())
        yield drawing
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    drawing.url = f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"


def macro_f1(results: Sequence[Result], champion: str | None) -> str:
    """A dot and its interval for each version; the thesis's figure beside it, as a ring."""
    with _drawing(4.7, 0.95 + 0.38 * len(results)) as drawing:
        axes = drawing.axes
        for row, result in enumerate(reversed(results)):
            color = ACCENT if result.entry == champion else INK
            low, high = result.scores.macro_f1_interval
            axes.plot([low, high], [row, row], color=color, linewidth=1.8, solid_capstyle="round")
            axes.plot(result.scores.macro_f1, row, "o", color=color, markersize=5)
            name = result.entry + (" (champion)" if result.entry == champion else "")
            axes.text(0, row + 0.22, name, color=color, fontsize=8, va="bottom")
            if result.thesis_macro_f1 is not None:
                axes.plot(result.thesis_macro_f1, row, "o", color=SOFT, markersize=6, markerfacecolor="none")
        axes.plot([], [], "o-", color=INK, markersize=5, label="here, 95 % interval")
        if any(result.thesis_macro_f1 is not None for result in results):
            axes.plot([], [], "o", color=SOFT, markerfacecolor="none", label="the thesis, on its own split")
        axes.set(xlabel="macro F1", xlim=(0, 1), ylim=(-0.6, len(results) - 0.1), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=PALE, alpha=0.4)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return drawing.url


def class_heat_map(results: Sequence[Result]) -> str:
    """The F1 of each class (columns) by each version (rows)."""
    with _drawing(6.4, 1 + 0.28 * len(results)) as drawing:
        class_cells(drawing.axes, {result.entry: result.scores for result in results})
    return drawing.url


def confusion(counts: Sequence[Sequence[int]], normalized: bool) -> str:
    """A confusion matrix, as counts or with each row (true class) adding to 1; colors always show the latter."""
    matrix = np.array(counts, dtype=np.float64)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    said = (
        [[f"{value:.2f}" for value in row] for row in shares] if normalized else [[str(n) for n in r] for r in counts]
    )
    with _drawing(3.6, 3.5) as drawing:
        axes = drawing.axes
        cells(axes, shares, said)
        axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=45)
        axes.set_yticks(range(len(CLASSES)), CLASSES)
        axes.set(xlabel="predicted", ylabel="true", title="share of the true class" if normalized else "images")
    return drawing.url


def roc(predictions: Predictions, result: Result) -> str:
    """The ROC curve of each class against the rest."""
    with _drawing(3.6, 3.5) as drawing:
        axes = drawing.axes
        for k, name in enumerate(CLASSES):
            auc = result.scores.classes[name].auc
            if auc is not None:
                false, true, _ = roc_curve(predictions.labels == k, predictions.probabilities[:, k])
                axes.plot(false, true, color=COLORS[name], linewidth=1.3, label=f"{name} {auc:.3f}")
        _square(axes, "false positives", "true positives", "ROC, class against rest")
        axes.legend(title="area", loc="lower right")
    return drawing.url


def melanoma_roc(predictions: Mapping[str, Predictions], named: Sequence[str]) -> str:
    """Melanoma's ROC curve of every version; those that are `named` in color, the others in gray."""
    mel = CLASSES.index("mel")
    with _drawing(4.6, 4.2) as drawing:
        axes = drawing.axes
        for name in sorted(predictions, key=lambda name: name in named):
            false, true, _ = roc_curve(predictions[name].labels == mel, predictions[name].probabilities[:, mel])
            if name in named:
                color = mpl.color_sequences["tab10"][named.index(name)]
                axes.plot(false, true, linewidth=1.6, color=color, label=name)
            else:
                axes.plot(false, true, linewidth=0.8, color=PALE)
        axes.axvline(1 - SPECIFICITY, color=INK, linewidth=0.8, linestyle=":")
        axes.text(1 - SPECIFICITY, 1.01, f" {SPECIFICITY:.0%} specificity", fontsize=8, va="bottom")
        if len(named) < len(predictions):
            axes.plot([], [], color=PALE, label="the others")
        _square(axes, "false positives", "true positives", "")
        axes.legend(loc="lower right")
    return drawing.url


def reliability(predictions: Predictions) -> str:
    """How often a version is right (points) where it says that it is as sure as that: the predicted class, melanoma."""
    told, truth = predictions.probabilities, predictions.labels
    mel = CLASSES.index("mel")
    with _drawing(3.6, 3.5) as drawing:
        axes = drawing.axes
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=0.8)
        for chance, right, color, label in (
            (told.max(1), told.argmax(1) == truth, INK, "the predicted class"),
            (told[:, mel], truth == mel, COLORS["mel"], "melanoma"),
        ):
            means, shares, sizes = _bins(chance.astype(np.float64), right)
            axes.plot(means, shares, color=color, linewidth=1, label=label)
            axes.scatter(means, shares, color=color, s=4 + 90 * sizes / len(truth), linewidths=0)
        _square(axes, "probability given", "how often it is so", "reliability")
        axes.legend(loc="upper left")
    return drawing.url


def _bins(
    chance: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability, share of right answers and size of each bin that is not empty."""
    number = np.minimum((chance * BINS).astype(int), BINS - 1)
    sizes = np.bincount(number, minlength=BINS).astype(np.float64)
    full = sizes > 0
    means = np.bincount(number, chance, BINS)[full] / sizes[full]
    return means, np.bincount(number, right, BINS)[full] / sizes[full], sizes[full]


def _square(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
