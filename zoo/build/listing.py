"""The catalog as a table: each entry, what differs from the baseline, the thesis's F1 and ours, and its state."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lesions.files import is_json_object
from zoo import recipe
from zoo.build import prepare
from zoo.entry import Classifier, Entry, Thesis
from zoo.study import Folders


class Row(NamedTuple):
    """One entry, in words."""

    entry: str
    differs: str
    thesis: str
    """Macro F1 on the thesis's own test split."""
    valid: str
    """Our macro F1."""
    test: str
    """Our macro F1 and its 95 % interval by bootstrap over lesions."""
    last: str
    """Our macro F1 of the last epoch instead of the one that validates best."""
    state: str


HEADINGS = Row(
    "entry", "what differs from the baseline", "thesis", "valid", "test, 95 % interval", "last epoch, test", "state"
)

ROOM_FOR_WORDS = 110
"""Columns of a terminal from which on the table says what differs, too."""


def rows(folders: Folders, catalog: Mapping[str, Entry]) -> list[Row]:
    """A row for each entry, in the thesis's order. Scores and states are of the recipes that hold now."""
    wanted: dict[str, str] = {}
    if folders.described.is_file():
        described = recipe.read_data(folders.described)
        made = prepare.recipes(folders.read(), described, catalog)
        wanted = {name: resolved.sha256 for name, resolved in (made.classifiers | made.generators).items()}
    return [_row(folders, name, entry, wanted.get(name)) for name, entry in in_thesis_order(catalog).items()]


def in_thesis_order(catalog: Mapping[str, Entry]) -> dict[str, Entry]:
    """The `catalog` in the thesis's order: by section, then by name; what the thesis does not have comes last."""
    return dict(sorted(catalog.items(), key=lambda item: (section_key(item[1].thesis), item[0])))


def section_key(thesis: Thesis | None) -> list[int]:
    """What sorts by the thesis's sections."""
    section = "99" if thesis is None else thesis.section
    return [int(part) for part in section.split(".") if part.isdigit()]


def _row(folders: Folders, name: str, entry: Entry, wanted: str | None) -> Row:
    thesis = "" if entry.thesis is None or entry.thesis.macro_f1 is None else f"{entry.thesis.macro_f1:.2f}"
    run, archive = folders.run(name), folders.archives / f"{name}.mar"
    report = _report(run)
    if wanted is None or report.get("recipe_sha256") != wanted:
        state = "interrupted" if (run / "last.ckpt").is_file() and not report else "to train"
        return Row(name, describe_options(entry), thesis, "", "", "", state)
    weights = run / "weights.safetensors"
    whole = archive.is_file() and weights.is_file() and archive.stat().st_mtime >= weights.stat().st_mtime
    state = "archived" if whole else "trained"
    if not isinstance(entry, Classifier):
        return Row(name, describe_options(entry), thesis, "", "", "", state)
    valid, test, last = report["valid"], report["test"], report["last_epoch"]["test"]
    return Row(
        name,
        describe_options(entry),
        thesis,
        f"{valid['macro_f1']:.3f}",
        "{0:.3f} ({1[0]:.2f} to {1[1]:.2f})".format(test["macro_f1"], test["macro_f1_interval"]),
        f"{last['macro_f1']:.3f}",
        state,
    )


def describe_options(entry: Entry) -> str:
    """What an entry says beyond the defaults, and beyond what it is about, in few words."""
    said = entry.model_dump(exclude_defaults=True, exclude={"kind", "about", "thesis"})
    return ", ".join(_few_words(key, value) for key, value in said.items()) or "nothing"


def _few_words(key: str, value: Any) -> str:
    match key:
        case "weights" | "loss" | "sampling":
            return str(value).replace("_", " ")
        case "parent":
            return f"goes on from {value}"
        case "generator":
            return f"images of {value}"
        case "fill_up":
            return f"classes filled up to {_stages(value)}"
        case "draws":
            return f"{_stages(value) if isinstance(value, list) else format(value, ',')} draws"
        case "diffaugment":
            return f"diffaugment by {' and '.join(value)}"
        case "epochs":
            return f"{value} epochs"
        case "trainable_tensors":
            return f"only the last {value} tensors train"
        case "normalise":
            return f"normalized by the {value}'s statistics"
    return f"{key.replace('_', ' ')} {value}".removesuffix(" True")


def _stages(schedule: Iterable[tuple[int, int]]) -> str:
    return "/".join(f"{images:,}" for images, _ in schedule)


def for_terminal(rows_: Iterable[Row], title: str, width: int) -> Table:
    """The table for a terminal of `width` columns; the scores are macro F1."""
    table = Table(
        title=f"{title}: macro F1", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    left_out = {HEADINGS.last} if width >= ROOM_FOR_WORDS else {HEADINGS.last, HEADINGS.differs}
    shown = [heading for heading in HEADINGS if heading not in left_out]
    for heading in shown:
        figures = heading in (HEADINGS.thesis, HEADINGS.valid)
        table.add_column(heading, justify="right" if figures else "left", no_wrap=heading != HEADINGS.differs)
    for row in rows_:
        table.add_row(*(cell for cell, heading in zip(row, HEADINGS, strict=True) if heading in shown))
    return table


def markdown(rows_: Iterable[Row]) -> str:
    """The table for a README, without the state."""
    lines = [row[:-1] for row in (HEADINGS, Row(*("---",) * len(HEADINGS)), *rows_)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _report(run: Path) -> dict[str, Any]:
    file = run / "scores.json"
    return dict(json.loads(file.read_bytes())) if is_json_object(file) else {}  # a damaged one is made anew by make zoo
