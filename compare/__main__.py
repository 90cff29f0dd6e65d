"""`python -m compare`: ask the served zoo."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compare.client import GENERATOR, MODEL, Answer, Zoo, ZooError
from lesions.labels import CLASSES, DIAGNOSES
from zoo.server import running
from zoo.study import Study

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def main() -> None:
    """Judge what is served."""


Study_ = Annotated[str, typer.Option("--study", help="The study whose server is asked.")]
Port = Annotated[int | None, typer.Option(help="The server's port, if not the study's own.")]


@contextmanager
def asked(study: str, port: int | None) -> Iterator[Zoo]:
    """A connection to the study's server; what it cannot answer ends with a message and exit code 2."""
    folder = Path("runs") / study / "serve"
    try:
        port = port or running(folder)
        if port is None:
            raise ZooError(f"no server of the study {study} is running; start it: make serve")
        with Zoo(port, folder / "key_file.json", seconds=60) as zoo:
            yield zoo
    except ZooError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _served(zoo: Zoo, model: str, entry: str | None) -> list[str]:
    """The served versions, or the one that is asked for. Raises `ZooError` where it is not served."""
    served = zoo.versions(model)
    if entry is not None and entry not in served:
        raise ZooError(f"no entry {entry!r} is served; there are: {', '.join(served)}")
    return [entry] if entry else served


@app.command()
def predict(
    image: Annotated[Path, typer.Argument(help="A picture of one lesion.")],
    entry: Annotated[str | None, typer.Option(help="Ask this entry only.")] = None,
    study: Study_ = Study().name,
    port: Port = None,
) -> None:
    """One picture, every served version side by side."""
    with asked(study, port) as zoo:
        answers = [zoo.classify(image, version) for version in _served(zoo, MODEL, entry)]
    _show(image, answers)


@app.command()
def synthesize(
    label: Annotated[str, typer.Option("--class", help=f"One of {', '.join(CLASSES)}; or all, for a grid.")] = "all",
    count: Annotated[int, typer.Option(help="Images (of each class, for all).")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    generator: Annotated[str | None, typer.Option(help="Which one; the first that is served unless given.")] = None,
    out: Annotated[Path, typer.Option(help="A folder for PNG files, or a .png file for one grid.")] = Path("reports"),
    study: Study_ = Study().name,
    port: Port = None,
) -> None:
    """Draw synthetic lesions with a served generator."""
    with asked(study, port) as zoo:
        version = _served(zoo, GENERATOR, generator)[0]
        name = f"{version}_{label}_seed{seed}"
        if label == "all" or out.suffix == ".png":
            file = out if out.suffix == ".png" else out / study / "synthetic" / f"{name}.png"
            files = {file: zoo.grid(label, count, seed, version)}
        else:
            folder = out / study / "synthetic" / name if out == Path("reports") else out
            images = zoo.synthesise(label, count, seed, version)
            files = {folder / f"{label}_{seed}_{k:05}.png": image for k, image in enumerate(images)}
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    print(f"{len(files)} file(s) by {version}: {next(iter(files)) if len(files) == 1 else next(iter(files)).parent}")
    print("Synthetic: no patients' data, not for diagnosis.")


def _show(image: Path, answers: list[Answer]) -> None:
    """Print the answers as a table: a row a version, a column a class, each row's highest probability in bold."""
    table = Table(title=f"{image} ({answers[0]['study']})", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("entry", no_wrap=True)
    table.add_column("label", no_wrap=True)
    for name in CLASSES:
        table.add_column(name, justify="right", no_wrap=True)
    for answer in answers:
        chances = answer["probabilities"]
        cells = [
            f"[bold green]{chances[name]:.2f}[/]" if name == answer["label"] else f"{chances[name]:.2f}"
            for name in CLASSES
        ]
        table.add_row(answer["entry"], answer["label"], *cells)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    labels = sorted({answer["label"] for answer in answers})
    console.print(", ".join(f"{name}: {DIAGNOSES[name]}" for name in labels))
    console.print(answers[0]["notice"])


if __name__ == "__main__":
    app()
