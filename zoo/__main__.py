"""The catalog's commands: `python -m zoo list`, and those that the Makefile is made of."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lesions.cli import command_group
from lesions.files import atomic_write, lock_range
from lesions.index import DataError
from lesions.sources.ham10000 import Ham10000
from zoo.entry import catalog
from zoo.study import Folders, Study, StudyError, settle

app = command_group(__doc__)

Settings = Annotated[
    list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", help="As for make: DATA=, SCALE=, ...")
]
Named = Annotated[str, typer.Option("--study", help="The study, as `make zoo` named it.")]
DEFAULT_STUDY = Study().name


def _settled(settings: list[str] | None) -> tuple[Folders, Study]:
    given = dict(setting.partition("=")[::2] for setting in settings or ())
    given = {key.lower(): value for key, value in given.items()}
    name = given.pop("study", None)
    if unknown := given.keys() - Study.model_fields.keys():
        allowed = ", ".join(key.upper() for key in (*Study.model_fields, "study"))
        raise StudyError(f"unknown setting {', '.join(sorted(unknown)).upper()}; there are: {allowed}")
    return settle(given, name)


@app.command()
def study(settings: Settings = None) -> None:
    """Print the name of the study that the settings mean."""
    print(_settled(settings)[0].name)


@app.command()
def resolve(
    settings: Settings = None,
    entries: Annotated[str, typer.Option(help="These entries and what they need, blanks between; else all.")] = "",
    descriptor: Annotated[
        int | None, typer.Option("--claim", help="A file that the caller keeps open as long as it builds the study.")
    ] = None,
) -> None:
    """Make the data, write every recipe that changed, and print the study's name; the first step of `make zoo`."""
    from zoo.build import integrity, prepare, reuse
    from zoo.packaging import manifest

    folders, settled = _settled(settings)
    if descriptor is not None:
        lock_range(descriptor, folders.name, f"another `make zoo` is at work on {folders.name}: waiting for its end")
    entries_by_name = catalog()
    wanted = entries.split()
    prepare.check(entries_by_name, wanted)
    described = prepare.data(folders, settled)
    made = prepare.recipes(settled, described, entries_by_name, wanted)
    reuse.copy_trained(folders, made.generators)
    prepare.write(folders, settled, entries_by_name, made)
    integrity.discard_damaged(folders, settled, made.classifiers, made.generators)
    for dropped in manifest.remove_untrusted(folders.archives, made.classifiers.keys() | made.generators.keys()):
        print(dropped, file=sys.stderr)
    print(folders.name)


@app.command(name="list")
def list_(
    study_name: Named = DEFAULT_STUDY, markdown: Annotated[bool, typer.Option(help="For a README.")] = False
) -> None:
    """Show every entry: what differs, the thesis's macro F1, ours, and its state."""
    from zoo.build import listing

    folders = Folders(study_name)
    if study_name != DEFAULT_STUDY:
        folders.read()  # a mistyped name is no empty study
    rows = listing.rows(folders, catalog())
    if markdown:
        print(listing.markdown(row for row in rows if row.test))
    else:
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(listing.for_terminal(rows, f"study {folders.name}", console.width))


@app.command()
def archive(entry: str, study_name: Named = DEFAULT_STUDY) -> None:
    """Pack one trained entry into `model_store/<study>/<entry>.mar`."""
    from zoo.packaging.archive import pack

    folders = Folders(study_name)
    described = _described(folders, entry)
    folders.archives.mkdir(parents=True, exist_ok=True)
    pack(described, folders.run(entry) / "weights.safetensors", folders.archives / f"{entry}.mar")


@app.command()
def card(
    entry: Annotated[str, typer.Argument(help="One trained entry; none: all of them, into --out.")] = "",
    study_name: Named = DEFAULT_STUDY,
    out: Annotated[Path | None, typer.Option(help="A folder for NAME.md, instead of printing.")] = None,
) -> None:
    """Print the model card (Markdown) of one trained entry, as its archive holds it; or write those of all."""
    from zoo.packaging.card import markdown

    folders = Folders(study_name)
    if not entry and out is None:
        raise StudyError("which entry? python -m zoo card NAME; or all of them: --out FOLDER")
    trained = sorted(name for name in catalog() if (folders.run(name) / "weights.safetensors").is_file())
    for name in [entry] if entry else trained:
        content = markdown(_described(folders, name))
        if out is None:
            print(content, end="")
        else:
            out.mkdir(parents=True, exist_ok=True)
            atomic_write(out / f"{name}.md", content)


def _described(folders: Folders, entry: str) -> dict[str, Any]:
    """The `entry.json` of a trained entry. Raises `StudyError` where it is not trained."""
    from zoo.packaging.card import entry as describe

    try:
        return describe(folders, entry)
    except FileNotFoundError as error:
        raise StudyError(f"{entry} is not trained in study {folders.name!r}: no {error.filename}") from None


@app.command()
def serve(
    study_name: Named = DEFAULT_STUDY,
    port: Annotated[int, typer.Option(min=1024, max=65531, help="Of inference; the next four are used, too.")] = 8080,
    host: Annotated[str, typer.Option(help="0.0.0.0 answers other machines, too.")] = "127.0.0.1",
) -> None:
    """Start TorchServe with every archive of a study; return when all versions answer."""
    from zoo.serving.torchserve import server

    folders = Folders(study_name)
    folder = folders.runs / "serve"
    server.start(folders.archives, folder, port, sample=_sample(folders, folder / "sample.jpg"), host=host)


def _sample(folders: Folders, file: Path) -> Path | None:
    """One picture of the study's data, written to `file`, so that the printed curl line works as it stands."""
    try:
        data = Ham10000(folders.source(folders.read()))
    except DataError:  # the data may be gone; the models are not
        return None
    atomic_write(file, data.read(data.index.images[0]))
    return file


@app.command()
def stop(study_name: Named = DEFAULT_STUDY) -> None:
    """Stop the study's TorchServe."""
    from zoo.serving.torchserve import server

    server.stop(Folders(study_name).runs / "serve")


@app.command()
def status(study_name: Named = DEFAULT_STUDY) -> None:
    """Show what the study's TorchServe serves."""
    from zoo.serving.torchserve import server

    Console().print(server.status(Folders(study_name).runs / "serve"))


@app.command()
def logs(study_name: Named = DEFAULT_STUDY) -> None:
    """Show the end of the study's TorchServe logs."""
    from zoo.serving.torchserve import server

    server.logs(Folders(study_name).runs / "serve")


if __name__ == "__main__":
    app()
