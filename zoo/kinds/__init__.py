"""The kinds of entries. A new one is a module here, and a line in `KINDS`."""

from zoo.kinds.base import Entry, Kind, Recipe
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.ensemble import ENSEMBLE
from zoo.kinds.generator import GENERATOR

__all__ = ["KINDS", "MODELS", "Entry", "Kind", "Recipe", "kind_of"]
KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSIFIER, ENSEMBLE, GENERATOR)}
"""By the value of `kind` in an entry."""
MODELS = list(dict.fromkeys(kind.model for kind in KINDS.values()))
"""The names of the served models; several kinds may be versions of one."""


def kind_of(entry: Entry | Recipe) -> Kind:
    """The kind of an entry or of its recipe."""
    return KINDS[entry.kind]
