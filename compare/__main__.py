"""`python -m compare`: ask the served zoo."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from compare.client import Answer, Zoo, ZooError
from lesions.labels import CLASSES, DIAGNOSES
from zoo.server import running
from zoo.study import Study

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def main() -> None:
    """Judge what is served."""


@app.command()
def predict(
    image: Annotated[Path, typer.Argument(help="A picture of one lesion.")],
    entry: Annotated[str | None, typer.Option(help="Ask this entry only.")] = None,
    study: Annotated[str, typer.Option(help="The study whose server is asked.")] = Study().name,
    port: Annotated[int | None, typer.Option(help="The server's port, if not the study's own.")] = None,
) -> None:
    """One picture, every served version side by side."""
    folder = Path("runs") / study / "serve"
    try:
        port = port or running(folder)
        if port is None:
            raise ZooError(f"no server of the study {study} is running; start it: make serve")
        with Zoo(port, folder / "key_file.json") as zoo:
            served = zoo.versions()
            if entry is not None and entry not in served:
                raise ZooError(f"no entry {entry!r} is served; there are: {', '.join(served)}")
            answers = [zoo.classify(image, version) for version in ([entry] if entry else served)]
    except ZooError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    _show(image, answers)


def _show(image: Path, answers: list[Answer]) -> None:
    """Print the answers as a table: a row a version, a column a class, each row's highest probability in bold."""
    table = Table(title=f"{image} ({answers[0]['study']})")
    table.add_column("entry", no_wrap=True)
    table.add_column("label", no_wrap=True)
    for name in CLASSES:
        table.add_column(name, justify="right", no_wrap=True)
    for answer in answers:
        chances = answer["probabilities"]
        cells = [
            f"[bold green]{chances[name]:.3f}[/]" if name == answer["label"] else f"{chances[name]:.3f}"
            for name in CLASSES
        ]
        table.add_row(answer["entry"], answer["label"], *cells)
    console = Console()
    console.print(table)
    labels = sorted({answer["label"] for answer in answers})
    console.print(", ".join(f"{name}: {DIAGNOSES[name]}" for name in labels))
    console.print(answers[0]["notice"])


if __name__ == "__main__":
    app()
