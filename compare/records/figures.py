"""The pictures of docs/results.md: PNG, the same bytes for the same records and the same matplotlib."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.records.record import ClassifierRecord
from compare.records.worth import Finding
from compare.style import ACCENT, INK, PALE, SOFT, STYLE, class_cells

DPI = 130

COLORS = {"helped": "#2f6b8f", "hurt": ACCENT, "no difference shown": SOFT}
"""Of verdicts."""


class Drawing:
    """A figure of one or several axes side by side, and the PNG that it becomes."""

    def __init__(self, width: float, height: float, columns: int) -> None:
        self.figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
        self.axes: list[Axes] = list(np.atleast_1d(self.figure.subplots(1, columns, sharey=True)))
        self.png = b""


@contextmanager
def _drawing(width: float, height: float, columns: int = 1) -> Iterator[Drawing]:
    """A drawing of `width` x `height` inches."""
    with mpl.rc_context(STYLE):
        drawing = Drawing(width, height, columns)
        yield drawing
        content = io.BytesIO()
        drawing.figure.savefig(content, format="png", metadata={"Software": None})
    drawing.png = content.getvalue()


def macro_f1(records: Sequence[ClassifierRecord]) -> bytes:
    """A dot and its interval for each entry, from above; the thesis's figure beside it as a ring."""
    with _drawing(7.2, 1.1 + 0.27 * len(records)) as drawing:
        [axes] = drawing.axes
        for row, record in enumerate(records):
            axes.plot(record.test.macro_f1_interval, [row, row], color=INK, linewidth=1.8, solid_capstyle="round")
            axes.plot(record.test.macro_f1, row, "o", color=INK, markersize=5)
            if record.thesis is not None and record.thesis.macro_f1 is not None:
                axes.plot(record.thesis.macro_f1, row, "o", color=ACCENT, markersize=6, markerfacecolor="none")
        axes.plot([], [], "o-", color=INK, markersize=5, label="here, 95 % interval")
        axes.plot([], [], "o", color=ACCENT, markerfacecolor="none", label="the thesis, on its own split")
        _named(axes, [record.entry for record in records])
        axes.set(xlabel="macro F1 on the test split", xlim=(0, 1))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return drawing.png


def class_f1(records: Sequence[ClassifierRecord]) -> bytes:
    """The F1 of each class (columns) by each entry (rows)."""
    with _drawing(7.2, 0.9 + 0.27 * len(records)) as drawing:
        [axes] = drawing.axes
        class_cells(axes, {record.entry: record.test for record in records})
    return drawing.png


def differences(findings: Sequence[Finding]) -> bytes:
    """A dot and its interval for each finding: rows are entries, a column for each measure; colors are verdicts."""
    measures = list(dict.fromkeys(finding.measure for finding in findings))
    entries = list(dict.fromkeys((finding.entry, finding.against) for finding in findings))
    with _drawing(7.2, 1.3 + 0.27 * len(entries), len(measures)) as drawing:
        for axes, measure in zip(drawing.axes, measures, strict=True):
            axes.axvline(0, color=INK, linewidth=0.8)
            for finding in findings:
                if finding.measure == measure:
                    row, color = entries.index((finding.entry, finding.against)), COLORS[finding.verdict]
                    axes.plot(finding.found.interval, [row, row], color=color, linewidth=1.8, solid_capstyle="round")
                    axes.plot(finding.found.difference, row, "o", color=color, markersize=5)
            against = list(dict.fromkeys(other for _, other in entries))
            same = len(against) == 1
            _named(axes, [entry if same else f"{entry} − {other}" for entry, other in entries])
            # Two lines, since labels of axes side by side run into each other.
            axes.set_xlabel(f"{measure},\n{f'less that of {against[0]}' if same else 'difference'}")
        axes = drawing.axes[0]
        there = {finding.verdict for finding in findings}
        for verdict, color in COLORS.items():
            if verdict in there:
                axes.plot([], [], "o-", color=color, label=verdict)
        drawing.figure.legend(loc="outside upper center", ncols=3)
    return drawing.png


def _named(axes: Axes, names: Sequence[str]) -> None:
    """A row for each of `names`, from above."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, alpha=0.4)
