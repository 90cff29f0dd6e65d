"""`python -m compare`: ask the served zoo."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compare.client import GENERATOR, MODEL, Answer, Zoo, ZooError
from lesions.cli import command_group
from lesions.files import atomic_write
from lesions.labels import CLASSES, DIAGNOSES
from zoo.entry import EntryError, catalog
from zoo.serving.torchserve.server import running
from zoo.study import Folders, Study

if TYPE_CHECKING:
    from compare.results import Results

app = command_group("Judge what is served.")


Study_ = Annotated[str, typer.Option("--study", help="The study whose server is asked.")]
Port = Annotated[int | None, typer.Option(help="The server's port, if not the study's own.")]


Test = Annotated[
    Path | None, typer.Option(help="Labeled images from outside: class folders, or ISIC's one-hot .csv beside them.")
]


@contextmanager
def asked(study: str, port: int | None) -> Iterator[Zoo]:
    """A connection to the study's server."""
    folder = Path("runs") / study / "serve"
    port = port or running(folder)
    if port is None:
        raise ZooError(f"no server of the study {study} is running; start it: make serve")
    with Zoo(port, folder / "key_file.json", seconds=60) as zoo:
        yield zoo


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
def explain(
    image: Annotated[Path, typer.Argument(help="A picture of one lesion.")],
    entry: Annotated[str | None, typer.Option(help="Ask this entry; the default version unless given.")] = None,
    label: Annotated[
        str | None, typer.Option("--class", help=f"One of {', '.join(CLASSES)}; the predicted one unless given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A .png file; below reports/ unless given.")] = None,
    study: Study_ = Study().name,
    port: Port = None,
) -> None:
    """Where in a picture a version sees a class: Grad-CAM, laid on the picture."""
    with asked(study, port) as zoo:
        version = _served(zoo, MODEL, entry)[0] if entry else zoo.default()
        said = zoo.classify(image, version)
        shown = label or said["label"]
        overlay = zoo.explain(image, version, shown)
    file = out or Path("reports") / study / "explained" / f"{image.stem}_{version}_{shown}.png"
    atomic_write(file, overlay)
    chance = said["probabilities"][shown]
    print(f"{version} says {said['label']}; the bright places speak for {shown} (probability {chance:.2f}): {file}")
    print(said["notice"])


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
            images = zoo.synthesize(label, count, seed, version)
            files = {folder / f"{label}_{seed}_{k:05}.png": image for k, image in enumerate(images)}
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    print(f"{len(files)} file(s) by {version}: {next(iter(files)) if len(files) == 1 else next(iter(files)).parent}")
    print("Synthetic: no patients' data, not for diagnosis.")


@app.command()
def evaluate(
    test: Test = None,
    strict: Annotated[bool, typer.Option(help="Stop at an image of TEST that cannot be used.")] = False,
    study: Study_ = Study().name,
    port: Port = None,
) -> None:
    """Score every served version on the study's test split, or on TEST, and write the report."""
    from compare import judge  # with scikit-learn, for which the other commands need not wait

    folders = Folders(study)
    try:
        with asked(study, port) as zoo:
            labeled, folder = judge.images(folders, test, strict)
            found = judge.evaluate(zoo, folders, labeled, folder)
    except KeyboardInterrupt:
        typer.echo("\ninterrupted: the answers that came are kept; the same command goes on from them", err=True)
        raise typer.Exit(130) from None
    _told(found, folder)


@app.command()
def report(test: Test = None, study: Study_ = Study().name) -> None:
    """Write the report again from the answers that were collected; no server is needed."""
    from compare import judge

    folders = Folders(study)
    labeled, folder = judge.images(folders, test)
    found = judge.report(folders, labeled, folder)
    _told(found, folder)


@app.command()
def ab(
    a: Annotated[str, typer.Option(help="One entry.")],
    b: Annotated[str, typer.Option(help="The entry that it is compared with.")],
    test: Test = None,
    study: Study_ = Study().name,
) -> None:
    """The macro F1 of A less that of B, paired over the same lesions, from the answers that were collected."""
    from compare import judge

    labeled, folder = judge.images(Folders(study), test)
    found = judge.ab(labeled, folder, a, b)
    low, high = found.interval
    print(f"macro F1 of {a} less that of {b}: {found.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    print(f"p = {found.p:.4f}, paired bootstrap over lesions; of these two checkpoints, not of their recipes")


@app.command()
def promote(
    entry: Annotated[str, typer.Argument(help="Which one; or best, by validation.")],
    force: Annotated[bool, typer.Option(help="Even if it is unscored or significantly worse.")] = False,
    study: Study_ = Study().name,
    port: Port = None,
) -> None:
    """Make an entry the champion: the version that answers where a call names none."""
    from compare import judge
    from compare.promote import promote as make_champion

    folders = Folders(study)
    with asked(study, port) as zoo:
        labeled, reports = judge.images(folders, None)
        champion = make_champion(zoo, folders, labeled, reports, entry, force)
    scored = "unscored" if champion.macro_f1 is None else f"macro F1 {champion.macro_f1:.3f} on the test split"
    print(f"{champion.entry} is the champion of {study}: {scored}")
    if champion.difference is not None and champion.difference_interval is not None:
        low, high = champion.difference_interval
        print(
            f"against {champion.previous}: {champion.difference:+.3f} ({low:+.3f} to {high:+.3f}), p = {champion.p:.4f}"
        )
    if champion.forced:
        print(f"forced, although {champion.forced}")


@app.command()
def record(
    entries: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All finished ones if none.")] = None,
    study: Study_ = Study().name,
) -> None:
    """Copy what was measured of finished entries into docs/results/STUDY: files to be committed, without images."""
    from compare.records import recording
    from compare.records.record import RESULTS, RecordError, differing, save

    folders, known = Folders(study), catalog()
    folders.read()  # a mistyped name is no empty study
    if unknown := [name for name in entries or () if name not in known]:
        raise EntryError(f"no entry {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    names = entries or recording.finished(folders, known)
    if not names:
        raise RecordError(f"nothing is trained in study {study!r} yet; first: make zoo")
    # All of them are made before any is written: a mistake leaves no half of a study behind.
    made = [recording.record(folders, name, known[name]) for name in names]
    for one in made:
        changed = differing(RESULTS, one)
        said = "new" if changed is None else f"differs in {', '.join(changed)}" if changed else "as before"
        print(f"{save(RESULTS, one)} ({said})")


@app.command()
def results() -> None:
    """Write docs/results.md and its pictures from the records in docs/results; neither data nor weights are needed."""
    from compare.records.page import publish

    print(publish(Path(), catalog()))


def _told(found: "Results", folder: Path) -> None:
    """Print the results and where the page is; exit code 1 where versions answer otherwise than they did offline."""
    from compare.judge import table

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(found))
    if found.left_out:
        shown = "\n".join(f"  {said}" for said in found.left_out[:20]) + ("\n  ..." if len(found.left_out) > 20 else "")
        print(f"left out: {len(found.left_out)} images\n{shown}")
    compared = [result.offline.largest for result in found.results if result.offline is not None]
    if compared:
        print(f"served and offline probabilities differ by {max(compared):.1e} at most")
    for said in found.beside_records:
        print(said)
    print(f"report: {folder / 'index.html'}")
    for result in found.disagreeing:
        assert result.offline is not None
        message = f"{result.entry} answers otherwise than it did in training: by {result.offline.largest:.2g}"
        typer.echo(f"error: {message} on {result.offline.image}; archive it again: make zoo serve", err=True)
    for result in found.unlike_published:
        message = f"{result.entry} answers otherwise than the record of the same weights in docs/results"
        typer.echo(f"error: {message}; record it again: make results STUDY={found.study}", err=True)
    if found.disagreeing or found.unlike_published:
        raise typer.Exit(1)


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
