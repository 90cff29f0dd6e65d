"""The kinds of entries. A new one is a module here, and a line in `KINDS`."""

import json
from contextlib import suppress

from zoo.kinds.base import Entry, Kind, Recipe
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.ensemble import ENSEMBLE
from zoo.kinds.generator import GENERATOR
from zoo.study import Folders, StudyError

__all__ = ["KINDS", "MODELS", "Entry", "Kind", "Recipe", "check_trainer", "kind_of"]
KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSIFIER, ENSEMBLE, GENERATOR)}
"""By the value of `kind` in an entry."""
MODELS = list(dict.fromkeys(kind.model for kind in KINDS.values()))
"""The names of the served models; several kinds may be versions of one."""


def kind_of(entry: Entry | Recipe) -> Kind:
    """The kind of an entry or of its recipe."""
    return KINDS[entry.kind]


def check_trainer(folders: Folders, name: str, trainer: str) -> None:
    """Raise `StudyError` where the entry `name` has no recipe, or is trained by another command than `trainer`."""
    run = folders.run(name)
    if not (run / "recipe.json").is_file():
        raise StudyError(f"{name} has no recipe in study {folders.name!r}; `make zoo ENTRIES={name}` writes it")
    with suppress(OSError, ValueError, LookupError, TypeError):  # the file is not there, or damaged: no matter here
        kind = KINDS[json.loads((run / "about.json").read_bytes())["kind"]]
        if kind.trainer != trainer:
            raise StudyError(
                f"{name} is of the kind {kind.name!r}: python -m {kind.trainer} {name} --study {folders.name}"
            )
