"""The catalog's commands: `python -m zoo list`, and those that the Makefile is made of."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lesions.cli import command_group
from lesions.files import atomic_write, is_locked, lock_range
from zoo.entry import catalog
from zoo.kinds.base import SOURCE, source_network
from zoo.kinds.generator import GENERATOR
from zoo.serving import options
from zoo.serving.limits import limits
from zoo.serving.options import StudyName
from zoo.study import Folders, Study, StudyError, settle
from zoo.terminal import console

app = command_group(__doc__)
Settings = Annotated[
    list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", help="As for make: DATA=, SCALE=, ...")
]
DEFAULT_STUDY = Study().name


def _settle(settings: list[str] | None) -> tuple[Folders, Study]:
    values = dict(setting.partition("=")[::2] for setting in settings or ())
    values = {key.lower(): value for key, value in values.items()}
    name = values.pop("study", None)
    if unknown := values.keys() - Study.model_fields.keys():
        allowed = ", ".join(key.upper() for key in (*Study.model_fields, "study"))
        raise StudyError(f"unknown setting {', '.join(sorted(unknown)).upper()}; there are: {allowed}")
    return settle(values, name)


@app.command()
def study(settings: Settings = None) -> None:
    """Print the name of the study that the settings mean."""
    print(_settle(settings)[0].name)


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

    folders, settled = _settle(settings)
    if descriptor is not None:
        waiting = f"another `make zoo` is at work on {folders.name}: waiting for its end"
        lock_range(descriptor, folders.name, waiting)
        folders, settled = _settle(settings)  # again: the other one may have made this study of other settings
    entries_by_name, names = catalog(), entries.split()
    prepare.check_names(entries_by_name, names)
    data = prepare.make_data(folders, settled)
    recipes = prepare.resolve_recipes(settled, data, entries_by_name, names)
    reuse.copy_trained(folders, recipes)
    prepare.write(folders, settled, entries_by_name, recipes)
    integrity.discard_damaged(folders, settled, recipes)
    integrity.distrust_future(folders)
    messages = prepare.remove_orphans(folders, entries_by_name)
    for message in messages + manifest.remove_untrusted(folders.archives, recipes.keys()):
        print(message, file=sys.stderr)
    print(folders.name)


@app.command()
def idle(descriptor: Annotated[int, typer.Argument(help="An open file, which `make zoo` claims.")]) -> None:
    """End with an error where a `make zoo` is at work."""
    if is_locked(descriptor):
        raise StudyError("a `make zoo` is at work here: wait for its end, or stop it")


@app.command()
def pretrained(
    run: Annotated[str, typer.Argument(help="source, or source.NETWORK for an entry's own network.")] = SOURCE,
    study_name: StudyName = DEFAULT_STUDY,
) -> None:
    """Write the weights that transfer starts from into `runs/<study>/source/`, or `runs/<study>/source.NETWORK/`."""
    from zoo.models import pretrained

    folders = Folders(study_name)
    pretrained.make(folders, folders.read(), source_network(run))


@app.command()
def ensemble(
    name: Annotated[str, typer.Argument(help="An entry of that kind, whose members are trained.")],
    study_name: StudyName = DEFAULT_STUDY,
) -> None:
    """Fit the weights of an ensemble's members on validation, and make its model of theirs."""
    from zoo.build import ensemble

    ensemble.make(Folders(study_name), name)


@app.command()
def launch(
    output: Annotated[Path, typer.Argument(help="The file that the command makes.")],
    command: Annotated[list[str], typer.Argument(help="The command, behind a --.")],
    prefix: Annotated[str, typer.Option("--by", help="What runs it elsewhere, as LAUNCH says.")] = "",
) -> None:
    """Run a step of `make zoo` behind LAUNCH, and again where its node dies; end with its exit code."""
    from zoo.build import launch

    raise typer.Exit(launch.launch(prefix, output, command))


@app.command(name="list")
def list_(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Show every entry: what differs, the thesis's macro F1, ours, and its state."""
    from zoo.build import listing

    folders = Folders(study_name)
    if study_name != DEFAULT_STUDY:
        folders.read()  # a mistyped name is no empty study
    rows = listing.rows(folders, catalog())
    terminal = console(160)
    terminal.print(listing.for_terminal(rows, f"study {folders.name}", terminal.width))


@app.command()
def archive(entry: str, study_name: StudyName = DEFAULT_STUDY) -> None:
    """Pack one trained entry into `model_store/<study>/<entry>.mar`."""
    from zoo.models.session import MODEL
    from zoo.packaging.archive import pack
    from zoo.packaging.features import with_reference
    from zoo.serving.torchserve import archiver

    folders = Folders(study_name)
    model = folders.run(entry) / MODEL
    described = with_reference(_describe(folders, entry), folders, model)
    folders.archives.mkdir(parents=True, exist_ok=True)
    pack(described, model, folders.archives / f"{entry}.mar", archiver.pack)


@app.command()
def card(
    entry: Annotated[str, typer.Argument(help="One trained entry; none: all of them, into --out.")] = "",
    study_name: StudyName = DEFAULT_STUDY,
    out: Annotated[Path | None, typer.Option(help="A folder for NAME.md, instead of printing.")] = None,
) -> None:
    """Print the model card (Markdown) of one trained entry, as its archive has it; or write those of all."""
    from zoo.packaging.card import markdown

    folders = Folders(study_name)
    if not entry and out is None:
        raise StudyError("which entry? python -m zoo card NAME; or all of them: --out FOLDER")
    trained = sorted(name for name in catalog() if (folders.run(name) / "weights.safetensors").is_file())
    for name in [entry] if entry else trained:
        content = markdown(_describe(folders, name))
        if out is None:
            print(content, end="")
        else:
            atomic_write(out / f"{name}.md", content)


def _describe(folders: Folders, entry: str) -> dict[str, Any]:
    """The `entry.json` of a trained entry. Raises `StudyError` where it is not trained."""
    from zoo.packaging.card import entry as describe

    try:
        return describe(folders, entry)
    except FileNotFoundError as error:
        raise StudyError(f"{entry} is not trained in study {folders.name!r}: no {error.filename}") from None


@app.command()
def serve(
    study_name: StudyName = DEFAULT_STUDY,
    archives: options.Archives = None,
    port: options.Port = 8080,
    host: options.Host = "127.0.0.1",
    runtime_name: options.RuntimeName = "torchserve",
    max_request_mb: options.MaxRequestMB = None,
    token_minutes: options.TokenMinutes = None,
    replicas: options.Replicas = "",
    cpus: options.Cpus = "",
    archives_url: options.ArchivesUrl = "",
    wait: options.Wait = False,
) -> None:
    """Start the server with every archive of a study, or of a folder; return when all versions answer."""
    from zoo.serving import start
    from zoo.serving.connection import upload
    from zoo.serving.runtime import get_runtime
    from zoo.serving.sample import sample

    folders = Folders(archives.resolve().name if archives else study_name)
    runtime = get_runtime(runtime_name, replicas=replicas, cpus=cpus, archives_url=archives_url)
    given, folder, store = limits(max_request_mb, token_minutes), folders.serve.resolve(), archives or folders.archives
    with start.until_signal(lambda: runtime.stop(folder)) if wait else nullcontext():
        model, version = start.serve(runtime, store, folder, port, host=host, limits=given, partly=wait)
        url = f"{runtime.connect(folder).url}/predictions/{model}/{version}"
        content = "-H 'Content-Type: application/json' -d '{\"class\": \"mel\"}'"
        if model != GENERATOR.model:
            content = upload(None if archives else sample(folders))
        print(f"try:\n{runtime.example_call(folder, url, content)}")
        if wait:
            start.wait(runtime, folder)
    if archives and not wait:
        print(f"to stop it: python -m zoo stop --study {shlex.quote(folders.name)}; so for status and logs")


@app.command()
def stop(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Stop the study's server."""
    from zoo.serving.runtime import runtime_of

    folder = Folders(study_name).existing().serve.resolve()
    print("stopped" if runtime_of(folder).stop(folder) else "nothing is running")


@app.command()
def status(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Show what the study's server serves, and which versions answer where a call names none."""
    from zoo.serving.runtime import runtime_of

    folder = Folders(study_name).serve
    runtime = runtime_of(folder)
    server = runtime.connect(folder)
    versions = server.status()
    defaults = {(model, server.default(model)) for model in {version.model for version in versions}}
    table = Table("model", "version", "default", "state", "workers", "port", "runtime")
    for version in versions:
        default = "yes" if (version.model, version.name) in defaults else ""
        state = "ready" if version.ready else "not ready"
        table.add_row(version.model, version.name, default, state, str(version.workers), str(server.port), runtime.name)
    console(160).print(table)


@app.command()
def logs(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Show the end of the logs of the study's server, which may have stopped."""
    from zoo.serving.runtime import RUNTIMES, get_runtime

    folder = Folders(study_name).existing().serve
    files: dict[Path, str] = {}
    for name in RUNTIMES:  # a start deletes the logs of the one before; some have the same names
        files |= get_runtime(name).logs(folder, lines=40)
    for file, end in files.items():
        print(f"==> {file} <==\n{end}\n")
    if not folder.is_dir():
        print(f"no logs in {folder}/")


if __name__ == "__main__":
    app()
