"""`python -m train NAME ... [--study STUDY]`: train entries whose recipes `make zoo` wrote."""

import logging
import warnings
from typing import Annotated

import typer

from lesions.errors import exit_on_user_error
from train import fit
from zoo.kinds import check_trainer
from zoo.study import Folders


def main(
    entries: Annotated[list[str], typer.Argument(help="Entries to train, in this order.")],
    study: Annotated[str, typer.Option(help="The study, as `make zoo` named it.")] = "phantom-demo",
) -> None:
    """Train classifier entries, or go on with them where they were interrupted."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*smaller than the logging interval")  # of few images
    warnings.filterwarnings("ignore", ".*does not have many workers")  # the cache is memory-mapped: none is faster
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec")  # between Lightning and torch
    warnings.filterwarnings("ignore", ".*`srun` command is available")  # one process needs none (LAUNCH may name it)
    folders = Folders(study)
    with exit_on_user_error():
        for name in entries:
            check_trainer(folders, name, "train")
            fit.fit(folders, name)


if __name__ == "__main__":
    typer.run(main)
