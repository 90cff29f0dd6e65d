"""The catalogue as a table: each entry, what differs from the baseline, the thesis's F1 and ours, and its state."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from zoo import recipe
from zoo.entry import Classifier, Entry
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
    state: str


HEADINGS = Row("entry", "what differs from the baseline", "thesis F1", "valid F1", "test F1 (95 % interval)", "state")


def rows(folders: Folders, catalogue: Mapping[str, Entry]) -> list[Row]:
    """A row for each entry, in the thesis's order."""

    def place(item: tuple[str, Entry]) -> tuple[list[int], str]:
        section = item[1].thesis.section if item[1].thesis else "99"
        return [int(part) for part in section.split(".") if part.isdigit()], item[0]

    return [_row(folders, name, entry) for name, entry in sorted(catalogue.items(), key=place)]


def _row(folders: Folders, name: str, entry: Entry) -> Row:
    thesis = "" if entry.thesis is None or entry.thesis.macro_f1 is None else f"{entry.thesis.macro_f1:.2f}"
    scored = _scores(folders.run(name))
    valid, test = scored.get("valid"), scored.get("test")
    return Row(
        name,
        differs(entry),
        thesis,
        f"{valid['macro_f1']:.3f}" if valid else "",
        "{0:.3f} ({1[0]:.3f} to {1[1]:.3f})".format(test["macro_f1"], test["macro_f1_interval"]) if test else "",
        state(folders, name, entry),
    )


def differs(entry: Entry) -> str:
    """What an entry says beyond the defaults, and beyond what it is about."""
    said = entry.model_dump(exclude_defaults=True, exclude={"kind", "about", "thesis"})
    words = (f"{key} {value}".replace("_", " ").replace("(", "[").replace(")", "]") for key, value in said.items())
    return ", ".join(words) or ("the thesis's generator" if not isinstance(entry, Classifier) else "nothing")


def state(folders: Folders, name: str, entry: Entry) -> str:
    """How far the entry is: `waits for its generator`, `to train`, `interrupted`, `trained` or `archived`."""
    run = folders.run(name)
    if not isinstance(entry, Classifier):
        return "not built yet"
    if not (run / "recipe.json").is_file():
        return "waits for its generator" if entry.generator or entry.parent else "to train"
    wanted = recipe.read(run / "recipe.json").sha256
    if _scores(run).get("recipe_sha256") != wanted:
        return "interrupted" if (run / "last.ckpt").is_file() else "to train"
    return "archived" if (folders.archives / f"{name}.mar").is_file() else "trained"


def for_terminal(rows_: Iterable[Row], title: str) -> Table:
    """The table for a terminal."""
    table = Table(title=title, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading.endswith(" F1") else "left")
    for row in rows_:
        table.add_row(*row)
    return table


def markdown(rows_: Iterable[Row]) -> str:
    """The table for a README."""
    lines = [HEADINGS, Row(*("---",) * len(HEADINGS)), *rows_]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _scores(run: Path) -> dict[str, Any]:
    file = run / "scores.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
