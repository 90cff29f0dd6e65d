"""What all figures look like, those of the report and those of docs/results.md: colors, tables as colored cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lesions.labels import CLASSES
from zoo.metrics.scores import Scores

INK, SOFT, ACCENT, PALE = "#26323a", "#6f7f88", "#a3462f", "#b9c4ca"

STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "lesion zoo",  # the same figure gives the same bytes
}


def class_cells(axes: Axes, scores: Mapping[str, Scores]) -> None:
    """Draw the F1 of each class (columns) by each entry (rows), all of the same images."""
    table = np.array([[one.classes[name].f1 for name in CLASSES] for one in scores.values()])
    cells(axes, table, [[f"{value:.2f}" for value in row] for row in table])
    classes = next(iter(scores.values())).classes
    axes.set_xticks(range(len(CLASSES)), [f"{name}\n{classes[name].support}" for name in CLASSES])
    axes.set_yticks(range(len(scores)), list(scores))
    axes.set_xlabel("F1 of each class, and how many images have it")


def cells(axes: Axes, table: NDArray[np.float64], said: Sequence[Sequence[str]]) -> None:
    """Draw a `table` of shares (0 to 1) as colored cells, with what is `said` in each."""
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(table):
        color = "white" if value > 0.6 else INK
        axes.text(column, row, said[row][column], ha="center", va="center", color=color, fontsize=8)
