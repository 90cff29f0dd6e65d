"""The page on drift, which needs no other file, and its table for a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from compare import report
from compare.plots import ACCENT, PALE, styled, subplots, svg_url
from gateway.drift.drift import LARGE, LEAST, LEVEL, Drift
from lesions.files import atomic_write
from lesions.labels import NOTICE
from zoo.packaging import card
from zoo.study import Folders


def page(drifts: Sequence[Drift], folders: Folders) -> Path:
    """Write `drift.html` into the study's reports, and return it."""
    text = card.template(Path(__file__).with_name("page.html.j2"), autoescape=True).render(
        style=Path(report.__file__).with_name("page.css").read_text(encoding="utf-8"),
        notice=NOTICE,
        study=folders.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        drifts=drifts,
        curves={drift.version: curves(drift) for drift in drifts},
        least=LEAST,
        large=LARGE,
        level=LEVEL,
    )
    atomic_write(folders.reports / "drift.html", text)
    return folders.reports / "drift.html"


def table(drifts: Sequence[Drift]) -> Table:
    """All hours together, for a terminal."""
    rows = Table(title="against validation", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    rows.add_column("version", no_wrap=True)
    for heading in ("answers", "hours", "labels: PSI, p", "confidences", "distances"):
        rows.add_column(heading, justify="right")
    for drift in drifts:
        shifts = [drift.total.shifts.get(name) for name in ("labels", "confidences", "distances")]
        few = f"under {LEAST} answers" if drift.total.answers < LEAST else ""
        rows.add_row(
            drift.version,
            f"{drift.total.answers:,}",
            f"{len(drift.hours)}",
            *(few if shift is None else f"{shift.psi:.2f}, {shift.p:.2g}" for shift in shifts),
        )
    return rows


@styled()
def curves(drift: Drift) -> str | None:
    """The index of each quantity, by hour; none where no hour has enough answers."""
    judged = [span for span in drift.hours if span.shifts]
    if not judged:
        return None
    figure, [axes] = subplots(6.4, 2.8)
    hours = np.array([span.start for span in judged]).astype("datetime64[s]")
    for name, color in zip(drift.quantities, mpl.color_sequences["tab10"], strict=False):
        values = np.array([span.shifts[name].psi if name in span.shifts else np.nan for span in judged])
        axes.plot(hours, values, "o-", color=color, markersize=3, linewidth=1.2, label=name)
        warned = np.array([name in span.drifted for span in judged])
        axes.plot(hours[warned], values[warned], "o", color=ACCENT, markersize=7, markerfacecolor="none")
    axes.axhline(LARGE, color=ACCENT, linewidth=0.8, linestyle=":")
    axes.set(ylabel="population stability index", ylim=(0, None))
    axes.tick_params(axis="x", rotation=30)
    axes.grid(axis="y", color=PALE, alpha=0.4)
    axes.legend(loc="upper left")
    return svg_url(figure)
