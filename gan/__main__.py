"""`python -m gan NAME ... [--study STUDY]` trains generators whose recipes `make zoo` wrote.

`pool NAME ...` draws their pools; `report NAME ...` writes a page on them.
"""

import logging
from pathlib import Path
from typing import Annotated

import typer

from gan import fit, pool, report
from lesions.errors import exit_on_user_error
from zoo.study import Folders, StudyError


def main(
    generators: Annotated[
        list[str],
        typer.Argument(help="Generators to train, in this order; after `pool` or `report`: those."),
    ],
    study: Annotated[str, typer.Option(help="The study, as `make zoo` named it.")] = "phantom-demo",
    judge: Annotated[
        str | None, typer.Option(help="For a report: the entry that names classes; else the best on validation.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="For a report: its folder; else in reports/.")] = None,
) -> None:
    """Train generators, or go on with them where they were interrupted; draw their pools; or write a page on them."""
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    folders = Folders(study)
    does = generators[0] if generators[0] in ("pool", "report") else "fit"
    names = generators if does == "fit" else generators[1:]
    with exit_on_user_error():
        if not names:
            raise StudyError(f"which generator? python -m gan {does} NAME")
        for name in names:
            if not (folders.run(name) / "recipe.json").is_file():
                raise StudyError(f"{name} has no recipe in study {study!r}; `make zoo ENTRIES={name}` writes it")
            if does != "report":
                (pool.make if does == "pool" else fit.fit)(folders, name)
        if does == "report":
            folder = out or folders.root / "reports" / study / "generators"
            report.write_page(folders, names, judge or report.best_judge(folders), folder)
            print(folder / "README.md")


if __name__ == "__main__":
    typer.run(main)
