"""Figures and tables in Markdown."""

from collections.abc import Sequence

from zoo.metrics.bootstrap import Difference


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table whose first `words` columns are words; the others are figures, aligned to the right."""
    marks = ["---" if column < words else "--:" for column in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, marks, *rows))


def interval(ends: tuple[float, float] | None, digits: int = 2) -> str:
    """An interval in brackets."""
    return "" if ends is None else f"({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def difference(found: Difference) -> str:
    """A difference and its interval."""
    low, high = found.interval
    return f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f})"


def p(value: float) -> str:
    """A p value."""
    digits = 4 if value < 0.01 else 3 if value < 0.1 else 2
    return f"{value:.{digits}f}"


def code(names: Sequence[str]) -> str:
    """Names as code, commas between."""
    return ", ".join(f"`{name}`" for name in names)


def duration(seconds: float) -> str:
    """In minutes, or hours where there are two or more."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
