"""`python -m gan NAME ... [--study STUDY]` trains generators whose recipes `make zoo` wrote.

`pool NAME ...` draws their pools; `report NAME ...` writes a page on them.
"""

import logging
from pathlib import Path
from typing import Annotated

import typer

from gan import fit, pool, report
from lesions.errors import exit_on_user_error
from zoo.kinds import check_trainer
from zoo.study import Folders, StudyError


def main(
    arguments: Annotated[
        list[str],
        typer.Argument(help="Generators to train, in this order; or `pool` or `report`, then generators."),
    ],
    study: Annotated[str, typer.Option(help="The study, as `make zoo` named it.")] = "phantom-demo",
    judge: Annotated[
        str | None,
        typer.Option(help="For a report: the classifier to use; by default the best on validation."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="For a report: its folder; by default in reports/.")] = None,
    features: Annotated[
        str | None, typer.Option(help="For a report: a second network (timm's name) to measure quality by.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, a .safetensors file.")] = None,
) -> None:
    """Train generators, or continue their trainings; or draw their pools; or write a page on them."""
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    folders = Folders(study)
    command = arguments[0] if arguments[0] in ("pool", "report") else "fit"
    names = arguments if command == "fit" else arguments[1:]
    with exit_on_user_error():
        if not names:
            raise StudyError(f"which generator? python -m gan {command} NAME")
        for name in names:
            check_trainer(folders, name, "gan")
            if command == "fit":
                fit.fit(folders, name)
            elif command == "pool":
                pool.make(folders, name)
        if command == "report":
            folder = out or folders.root / "reports" / study / "generators"
            if (features is None) != (weights is None):
                raise StudyError("--features names a network, and --weights its file: give both")
            second = None if features is None or weights is None else report.Judge(features, weights)
            report.write_page(folders, names, judge or report.best_classifier(folders), folder, second)
            print(folder / "README.md")


if __name__ == "__main__":
    typer.run(main)
