"""`python -m lesions describe DATA` and `python -m lesions download FOLDER`: describe or download the data."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lesions import phantom
from lesions.cli import command_group
from lesions.describe import describe as describe_data
from lesions.index import DataError
from lesions.sources import FORMS

app = command_group(__doc__)


@app.command()
def describe(
    data: Annotated[str, typer.Argument(help="`phantom`, or a folder, zip file or table.")] = "phantom",
    to: Annotated[Path | None, typer.Option(help="Where the pictures go; reports/data/<name> unless given.")] = None,
    scc: Annotated[str | None, typer.Option(help="The class that squamous cell carcinomas count as.")] = None,
) -> None:
    """Print class counts, channel statistics and images per lesion; draw a contact sheet of each class."""
    try:
        source = _root() / "data" / "phantom" if data == "phantom" else Path(data).expanduser()
    except RuntimeError as error:
        raise DataError(f"DATA={data}: {error}") from None
    if not data:  # the current folder is not meant
        raise DataError(f"DATA=: names nothing; it is {FORMS}")
    if data == "phantom":
        phantom.draw_once(source)
    describe_data(source, to or _root() / "reports" / "data" / source.name, scc)


@app.command()
def download(
    folder: Annotated[Path | None, typer.Argument(help="Where HAM10000 goes; data/ham10000 unless given.")] = None,
) -> None:
    """Download HAM10000 (about 2.8 GB) by its DOI and verify its checksums."""
    from lesions.download import fetch  # here: a machine that only serves lacks what it needs

    folder = folder or _root() / "data" / "ham10000"
    fetch(folder)
    print(f"\nNext: make zoo DATA={folder}")


def _root() -> Path:
    """The folder of data/ and reports/: the working folder, or the one in LESION_ZOO_ROOT."""
    return Path(os.environ.get("LESION_ZOO_ROOT", ""))


if __name__ == "__main__":
    app()
