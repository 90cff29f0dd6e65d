"""`python -m train NAME ... [--study STUDY]`: train entries whose recipes `make zoo` wrote; `source` is the weights."""

import logging
import sys
import warnings
from typing import Annotated

import typer

from lesions.sources.ham10000 import DataError
from train import fit, source
from zoo.models.network import WeightsError
from zoo.recipe import RecipeError
from zoo.study import Folders, StudyError


def main(
    entries: Annotated[list[str], typer.Argument(help="Entries to train, in this order; `source` for the weights.")],
    study: Annotated[str, typer.Option(help="The study, as `make zoo` named it.")] = "phantom-demo",
) -> None:
    """Train classifier entries, or go on with them where they were interrupted."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers")  # the cache is memory-mapped: none is faster
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec")  # between Lightning and torch
    folders = Folders(study)
    try:
        for name in entries:
            if name == "source":
                source.make(folders, folders.read())
            elif (folders.run(name) / "recipe.json").is_file():
                fit.fit(folders, name)
            else:
                raise StudyError(f"{name} has no recipe in study {study!r}; `make zoo ENTRIES={name}` writes it")
    except (StudyError, RecipeError, DataError, WeightsError, source.WeightsUnavailable, fit.TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:  # a full disk, above all
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; with that mended, `make zoo` goes on", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    typer.run(main)
