"""What all figures have in common, those of the report (SVG) and those of docs/results.md (PNG): style and marks."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lesions.labels import CLASSES
from zoo.metrics.scores import Scores

INK, SOFT, ACCENT, PALE = "#26323a", "#6f7f88", "#a3462f", "#b9c4ca"
STYLE = Path(__file__).with_suffix(".mplstyle")


@contextmanager
def styled() -> Iterator[None]:
    """Apply `STYLE` to all that is drawn and saved inside; also a decorator."""
    with style.context(STYLE):
        yield


def subplots(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches, with axes side by side that share the vertical one."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, columns, sharey=True)))


def content(figure: Figure, **options: Any) -> bytes:
    """The figure as the content of a file; `options` are those of `savefig`, such as `format`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def svg_url(figure: Figure) -> str:
    """The figure as a data URL of SVG, to be put into a page."""
    svg = content(figure, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def interval_dot(axes: Axes, row: float, value: float, interval: tuple[float, float], color: str) -> None:
    """Draw a `value` as a dot and its `interval` as a line, at the height `row`."""
    axes.plot(interval, [row, row], color=color, linewidth=1.8, solid_capstyle="round")
    axes.plot(value, row, "o", color=color, markersize=5)


def macro_f1(
    axes: Axes, scores: Sequence[Scores], thesis: Sequence[float | None], colors: Sequence[str], ring: str
) -> None:
    """Draw the macro F1 of each entry, the first on top, with its interval; that of the `thesis` as a ring.

    `colors` are those of the entries, `ring` is that of the rings.
    """
    for row, (entry, reference, color) in enumerate(zip(scores, thesis, colors, strict=True)):
        interval_dot(axes, row, entry.macro_f1, entry.macro_f1_interval, color)
        if reference is not None:
            axes.plot(reference, row, "o", color=ring, markersize=6, markerfacecolor="none")
    axes.plot([], [], "o-", color=INK, markersize=5, label="here, 95 % interval")
    if any(reference is not None for reference in thesis):
        axes.plot([], [], "o", color=ring, markerfacecolor="none", label="the thesis, on its own split")
    axes.set_xlim(0, 1)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    value_grid(axes)


def value_grid(axes: Axes) -> None:
    """Draw the grid of axes with a row for each entry: along the values alone."""
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, alpha=0.4)


def class_f1(axes: Axes, scores: Mapping[str, Scores]) -> None:
    """Draw the F1 of each class (columns) by each entry (rows), all on the same images."""
    table = np.array([[entry.classes[name].f1 for name in CLASSES] for entry in scores.values()])
    heat_map(axes, table, [[f"{value:.2f}" for value in row] for row in table])
    classes = next(iter(scores.values())).classes
    axes.set_xticks(range(len(CLASSES)), [f"{name}\n{classes[name].support}" for name in CLASSES])
    axes.set_yticks(range(len(scores)), list(scores))
    axes.set_xlabel("F1 of each class, and how many images have it")


def heat_map(axes: Axes, table: NDArray[np.float64], texts: Sequence[Sequence[str]]) -> None:
    """Draw a `table` of values from 0 to 1 as colored cells, with `texts` in them."""
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(table):
        color = "white" if value > 0.6 else INK
        axes.text(column, row, texts[row][column], ha="center", va="center", color=color, fontsize=8)
