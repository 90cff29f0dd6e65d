"""The catalog as a table: for each entry what differs from the baseline, the thesis's macro F1, ours, and its state."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lesions.files import is_at_work, is_json_object
from zoo.build import prepare
from zoo.kinds import Entry, Recipe, kind_of
from zoo.kinds.base import Data, Thesis, read_json
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


HEADINGS = Row("entry", "what differs from the baseline", "thesis", "valid", "test, 95 % interval", "state")
WIDE = 110
"""The columns of a terminal from which on the table also says what differs."""


def rows(folders: Folders, catalog: Mapping[str, Entry]) -> list[Row]:
    """A row for each entry, in the thesis's order. Scores and states are of the recipes that hold now."""
    ordered = in_thesis_order(catalog)
    if not folders.data.is_file():
        return [_row(folders, name, entry, None) for name, entry in ordered.items()]
    recipes = prepare.resolve_possible(folders.read(), read_json(Data, folders.data), catalog)
    listed = [_row(folders, name, entry, recipes.get(name)) for name, entry in ordered.items()]
    return [row if row.entry in recipes else row._replace(state="impossible here") for row in listed]


def in_thesis_order(catalog: Mapping[str, Entry]) -> dict[str, Entry]:
    """The `catalog` in the thesis's order: by section, then by name; what the thesis does not have comes last."""
    return dict(sorted(catalog.items(), key=lambda item: (section_key(item[1].thesis), item[0])))


def section_key(thesis: Thesis | None) -> list[int]:
    """A key to sort by the thesis's sections; what the thesis does not have comes last."""
    section = "99" if thesis is None else thesis.section
    return [int(part) for part in section.split(".") if part.isdigit()]


def _row(folders: Folders, name: str, entry: Entry, recipe: Recipe | None) -> Row:
    thesis = "" if entry.thesis is None or entry.thesis.macro_f1 is None else f"{entry.thesis.macro_f1:.2f}"
    run, archive = folders.run(name), folders.archives / f"{name}.mar"
    scores = _read_scores(run)
    valid, test = "", ""
    if recipe is None or scores.get("recipe_sha256") != recipe.sha256:
        state = "interrupted" if (run / "last.ckpt").is_file() and not scores else "to train"
        state = "in training" if is_at_work(run) else state
    else:
        weights = run / "weights.safetensors"
        fresh = archive.is_file() and weights.is_file() and archive.stat().st_mtime >= weights.stat().st_mtime
        state = "archived" if fresh else "trained"
        if kind_of(entry).scored:
            valid = f"{scores['valid']['macro_f1']:.3f}"
            low, high = scores["test"]["macro_f1_interval"]
            test = f"{scores['test']['macro_f1']:.3f} ({low:.2f} to {high:.2f})"
    return Row(name, describe_options(entry), thesis, valid, test, state)


def describe_options(entry: Entry) -> str:
    """The options of an entry that are not at their default, in few words."""
    options = entry.model_dump(exclude_defaults=True, exclude={"kind", "about", "thesis"})
    parts = [WORDS.get(key, partial(_name_and_value, key))(value) for key, value in options.items()]
    return ", ".join(parts) or "nothing"


def _name_and_value(key: str, value: Any) -> str:
    return f"{key.replace('_', ' ')} {value}".removesuffix(" True")


def _value(value: Any) -> str:
    return str(value).replace("_", " ")


def _images(value: int | list[tuple[int, int]]) -> str:
    """A number of images, or those of stages `[(images, epochs), ...]`."""
    return f"{value:,}" if isinstance(value, int) else "/".join(f"{images:,}" for images, _ in value)


WORDS: Mapping[str, Callable[[Any], str]] = {
    "weights": _value,
    "loss": _value,
    "sampling": lambda value: _value(value) if isinstance(value, str) else f"class counts to the power {value}",
    "parent": "goes on from {}".format,
    "generator": "images of {}".format,
    "critic": "{} critic".format,
    "best_by": lambda value: f"best step by {'GAN-train' if value == 'gan_train' else 'KID'}",
    "fill_up": lambda stages: f"classes filled up to {_images(stages)}",
    "draws": lambda draws: f"{_images(draws)} draws",
    "diffaugment": lambda changes: f"diffaugment by {' and '.join(changes)}",
    "epochs": lambda epochs: f"{epochs} epochs" if epochs else "no training",
    "real": lambda _: "no real images",
    "trainable_tensors": "only the last {} tensors train".format,
    "optimizer": {"adamw": "AdamW"}.__getitem__,
    "schedule": _value,
    "weight_decay": "weight decay {}".format,
    "ema": "weights averaged by {}".format,
    "drop": "dropout {}".format,
    "keep": "the {} epoch kept".format,
    "augment": lambda how: f"{'augmented' if how == 'standard' else 'flipped'} images",
    "views": "{} views".format,
    "logit_adjustment": "logits adjusted by {}".format,
    "members": lambda names: f"mean of {', '.join(names)}",
    "normalise": "normalized by the {}'s statistics".format,
}
"""How options are described whose name and value would not do."""


def for_terminal(rows: Iterable[Row], title: str, width: int) -> Table:
    """The table for a terminal of `width` columns; the scores are macro F1."""
    table = Table(
        title=f"{title}: macro F1", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    shown = [place for place, heading in enumerate(HEADINGS) if width >= WIDE or heading != HEADINGS.differs]
    for place in shown:
        right = HEADINGS[place] in (HEADINGS.thesis, HEADINGS.valid)
        wrap = HEADINGS[place] == HEADINGS.differs
        table.add_column(HEADINGS[place], justify="right" if right else "left", no_wrap=not wrap)
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    return table


def _read_scores(run: Path) -> dict[str, Any]:
    file = run / "scores.json"
    return dict(json.loads(file.read_bytes())) if is_json_object(file) else {}  # a damaged one is made anew by make zoo
