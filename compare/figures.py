"""The figures of the report, each as a data URL of SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from compare import plots
from compare.plots import ACCENT, INK, PALE, SOFT, styled, subplots, svg_url
from compare.results import Result
from lesions.labels import CLASSES
from zoo.metrics.scores import BINS, SPECIFICITY, Predictions

COLORS = dict(zip(CLASSES, mpl.color_sequences["tab10"], strict=False))
"""Of the classes, in all figures."""


@styled()
def macro_f1(results: Sequence[Result], champion: str | None) -> str:
    """A dot and its interval for each version; the thesis's figure beside it, as a ring."""
    figure, [axes] = subplots(4.7, 0.95 + 0.38 * len(results))
    colors = [ACCENT if result.entry == champion else INK for result in results]
    plots.macro_f1(
        axes, [result.scores for result in results], [result.thesis_macro_f1 for result in results], colors, SOFT
    )
    for row, (result, color) in enumerate(zip(results, colors, strict=True)):
        name = result.entry + (" (champion)" if result.entry == champion else "")
        axes.text(0, row - 0.22, name, color=color, fontsize=8, va="bottom")
    axes.set(xlabel="macro F1", ylim=(len(results) - 0.4, -0.9), yticks=[])
    return svg_url(figure)


@styled()
def class_heat_map(results: Sequence[Result]) -> str:
    """The F1 of each class (columns) by each version (rows)."""
    figure, [axes] = subplots(6.4, 1 + 0.28 * len(results))
    plots.class_f1(axes, {result.entry: result.scores for result in results})
    return svg_url(figure)


@styled()
def confusion(counts: Sequence[Sequence[int]], normalized: bool) -> str:
    """A confusion matrix, as counts or with each row (true class) adding to 1; colors always show the latter."""
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, [axes] = subplots(3.6, 3.5)
    texts = [
        [f"{value:.2f}" if normalized else str(value) for value in row] for row in (shares if normalized else matrix)
    ]
    plots.heat_map(axes, shares, texts)
    axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=45)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set(xlabel="predicted", ylabel="true", title="share of the true class" if normalized else "images")
    return svg_url(figure)


@styled()
def roc(predictions: Predictions, result: Result) -> str:
    """The ROC curve of each class against the rest."""
    figure, [axes] = subplots(3.6, 3.5)
    for name, color in COLORS.items():
        auc = result.scores.classes[name].auc
        if auc is not None:
            _roc_curve(axes, predictions, name, color=color, linewidth=1.3, label=f"{name} {auc:.3f}")
    _unit_square(axes, "false positives", "true positives", "ROC, class against rest")
    axes.legend(title="area", loc="lower right")
    return svg_url(figure)


@styled()
def melanoma_roc(predictions: Mapping[str, Predictions], highlighted: Sequence[str]) -> str:
    """The ROC curve of melanoma of every version; those that are `highlighted` in color, the others in gray."""
    figure, [axes] = subplots(4.6, 4.2)
    for name in sorted(predictions, key=lambda name: name in highlighted):
        if name in highlighted:
            color = mpl.color_sequences["tab10"][highlighted.index(name)]
            _roc_curve(axes, predictions[name], "mel", linewidth=1.6, color=color, label=name)
        else:
            _roc_curve(axes, predictions[name], "mel", linewidth=0.8, color=PALE)
    axes.axvline(1 - SPECIFICITY, color=INK, linewidth=0.8, linestyle=":")
    axes.text(1 - SPECIFICITY, 1.01, f" {SPECIFICITY:.0%} specificity", fontsize=8, va="bottom")
    if len(highlighted) < len(predictions):
        axes.plot([], [], color=PALE, label="the others")
    _unit_square(axes, "false positives", "true positives", "")
    axes.legend(loc="lower right")
    return svg_url(figure)


@styled()
def reliability(predictions: Predictions) -> str:
    """The share of right predictions (points) by predicted probability: of the predicted class, and of melanoma."""
    probabilities, labels = predictions.probabilities.astype(np.float64), predictions.labels
    mel = CLASSES.index("mel")
    figure, [axes] = subplots(3.6, 3.5)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=0.8)
    for predicted, right, color, label in (
        (probabilities.max(1), probabilities.argmax(1) == labels, INK, "the predicted class"),
        (probabilities[:, mel], labels == mel, COLORS["mel"], "melanoma"),
    ):
        means, shares, sizes = _reliability_bins(predicted, right)
        axes.plot(means, shares, color=color, linewidth=1, label=label)
        axes.scatter(means, shares, color=color, s=4 + 90 * sizes / len(labels), linewidths=0)
    _unit_square(axes, "predicted probability", "share that is right", "reliability")
    axes.legend(loc="upper left")
    return svg_url(figure)


def _reliability_bins(
    probabilities: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability, share of right predictions and size of each bin that is not empty, from n images."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    sizes = np.bincount(bins, minlength=BINS).astype(np.float64)
    filled = sizes > 0
    means, shares = (np.bincount(bins, values, BINS)[filled] / sizes[filled] for values in (probabilities, right))
    return means, shares, sizes[filled]


def _roc_curve(axes: Axes, predictions: Predictions, name: str, **line: Any) -> None:
    """Draw the ROC curve of the class `name` against the rest."""
    k = CLASSES.index(name)
    false_positives, true_positives, _ = roc_curve(predictions.labels == k, predictions.probabilities[:, k])
    axes.plot(false_positives, true_positives, **line)


def _unit_square(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
