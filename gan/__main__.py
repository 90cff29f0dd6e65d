"""`python -m gan NAME ... [--study STUDY]` trains generators whose recipes `make zoo` wrote; `pool NAME ...` draws."""

import logging
import sys
from typing import Annotated

import typer

from gan import fit, pool
from lesions.ham10000 import DataError
from zoo.network import WrongWeights
from zoo.study import Folders, StudyError


def main(
    generators: Annotated[
        list[str], typer.Argument(help="Generators to train, in this order; after the word `pool`: to draw pools of.")
    ],
    study: Annotated[str, typer.Option(help="The study, as `make zoo` named it.")] = "phantom-demo",
) -> None:
    """Train generators, or go on with them where they were interrupted; or draw their pools."""
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    folders = Folders(study)
    draws = generators[0] == "pool"
    names = generators[1:] if draws else generators
    try:
        if not names:
            raise StudyError("pool of which generator? python -m gan pool NAME")
        for name in names:
            if not (folders.run(name) / "recipe.json").is_file():
                raise StudyError(f"{name} has no recipe in study {study!r}; `make zoo ENTRIES={name}` writes it")
            (pool.make if draws else fit.fit)(folders, name)
    except (StudyError, DataError, WrongWeights, fit.Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:  # a full disk, above all
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; the same command goes on from here", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    typer.run(main)
