"""The pictures of docs/results.md: PNG, the same bytes for the same records and the same matplotlib."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare import plots
from compare.plots import ACCENT, INK, SOFT, styled, subplots
from compare.records.effects import Effect
from compare.records.record import ClassifierRecord

DPI = 130
COLORS = {"helped": "#2f6b8f", "hurt": ACCENT, "no difference shown": SOFT}
"""Of outcomes."""


@styled()
def macro_f1(records: Sequence[ClassifierRecord]) -> bytes:
    """A dot and its interval for each entry, the first on top; the thesis's figure beside it as a ring."""
    figure, [axes] = subplots(7.2, 1.1 + 0.27 * len(records))
    thesis = [record.thesis.macro_f1 if record.thesis else None for record in records]
    plots.macro_f1(axes, [record.test for record in records], thesis, [INK] * len(records), ACCENT)
    _name_rows(axes, [record.entry for record in records])
    axes.set_xlabel("macro F1 on the test split")
    return _png(figure)


@styled()
def class_f1(records: Sequence[ClassifierRecord]) -> bytes:
    """The F1 of each class (columns) by each entry (rows)."""
    figure, [axes] = subplots(7.2, 0.9 + 0.27 * len(records))
    plots.class_f1(axes, {record.entry: record.test for record in records})
    return _png(figure)


@styled()
def differences(effects: Sequence[Effect]) -> bytes:
    """A dot and its interval for each effect: rows are entries, a column for each measure; colors are outcomes."""
    measures = list(dict.fromkeys(effect.measure for effect in effects))
    pairs = list(dict.fromkeys((effect.entry, effect.reference) for effect in effects))
    references = list(dict.fromkeys(reference for _, reference in pairs))
    figure, columns = subplots(7.2, 1.3 + 0.27 * len(pairs), len(measures))
    for axes, measure in zip(columns, measures, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        for effect in effects:
            if effect.measure == measure:
                row = pairs.index((effect.entry, effect.reference))
                difference = effect.difference
                plots.interval_dot(axes, row, difference.difference, difference.interval, COLORS[effect.outcome])
        plots.value_grid(axes)
        if len(measures) > 2:
            axes.locator_params(axis="x", nbins=4)  # numbers like -0.025 need room
        if len(references) == 1:
            names, label = [entry for entry, _ in pairs], f"less that of {references[0]}"
        else:
            names, label = [f"{entry} − {reference}" for entry, reference in pairs], "difference"
        _name_rows(axes, names)
        axes.set_xlabel(f"{measure},\n{label}")  # two lines: labels of axes side by side run into each other
    outcomes = {effect.outcome for effect in effects}
    for outcome, color in COLORS.items():
        if outcome in outcomes:
            columns[0].plot([], [], "o-", color=color, label=outcome)
    figure.legend(loc="outside upper center", ncols=3)
    return _png(figure)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _png(figure: Figure) -> bytes:
    return plots.content(figure, format="png", dpi=DPI, metadata={"Software": None})
