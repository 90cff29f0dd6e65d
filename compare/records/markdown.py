"""The templates of docs/results.md, and the filters by which they write figures and names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from compare.records import effects, folds
from lesions.labels import CLASSES
from zoo.metrics import bootstrap, challenge
from zoo.metrics.bootstrap import Difference
from zoo.metrics.scores import QUALITY, SPECIFICITY


def templates() -> Environment:
    """The environment of `page.md.j2`, and of the macros in the templates beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    environment.globals |= {"bootstrap": bootstrap, "classes": CLASSES, "effects": effects, "of_folds": folds}
    environment.globals |= {"quality_measures": QUALITY, "specificity": SPECIFICITY}
    environment.globals |= {"challenge_words": challenge.IN_WORDS, "challenge_means": challenge.means}
    return environment


def interval(ends: tuple[float, float], digits: int = 2) -> str:
    """An interval in brackets."""
    return f"({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def difference(difference: Difference) -> str:
    """A difference and its interval."""
    low, high = difference.interval
    return f"{difference.difference:+.3f} ({low:+.3f} to {high:+.3f})"


def p(value: float) -> str:
    """A p value."""
    digits = 4 if value < 0.01 else 3 if value < 0.1 else 2
    return f"{value:.{digits}f}"


def number(value: float | None, digits: int = 2) -> str:
    """A figure; empty if there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def significant(value: float | None) -> str:
    """A figure with three significant digits."""
    if value is None:
        return "no number"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """In minutes, or hours where there are two or more."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def format_target(target: str) -> str:
    """The heading of an operating point, by the sensitivity that it was chosen for."""
    return f"sensitivity and specificity at the threshold for {float(target):.0%} on validation".replace("%", " %")


def short_commit(commit: str | None) -> str:
    """A commit in twelve digits, with its `-dirty`."""
    name, dash, dirty = (commit or "unknown").partition("-")
    return f"{name[:12]}{dash}{dirty}"


def libraries(versions: Mapping[str, str]) -> str:
    """The versions that matter for a training."""
    return ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "timm") if name in versions)


FILTERS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (interval, difference, p, number, significant, duration, format_target, short_commit, libraries)
} | {
    "code": lambda names: ", ".join(f"`{name}`" for name in names),
    "distinct": lambda values: sorted(set(values)),
    "line": lambda text: " ".join(text.split()),
    "thousands": lambda count: f"{count:,}",
}
