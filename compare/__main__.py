"""`python -m compare`: ask the served zoo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compare import ask
from compare.client import Zoo, connect
from compare.destination import PICTURES, file_destination, folder_destination, names_file, write_picture
from compare.pictures import named, read, shown
from lesions.cli import command_group
from lesions.errors import UserError
from lesions.files import atomic_write
from lesions.labels import CLASSES
from lesions.sources.left_out import counted
from zoo.build.prepare import check_names
from zoo.entry import catalog
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.serving.http import ServerError
from zoo.study import Folders, Study
from zoo.terminal import console, whole_number

if TYPE_CHECKING:
    from compare.results import Results

app = command_group("Judge what is served.")
StudyName = Annotated[str, typer.Option("--study", help="The study whose server is asked.")]
Port = Annotated[int | None, typer.Option(help="The server's port, if not the study's own.")]
Test = Annotated[
    Path | None, typer.Option(help="Labeled images from outside: a folder, a zip file, or a table of their classes.")
]
Scc = Annotated[
    str | None, typer.Option(help="The class that squamous cell carcinomas of TEST count as; the study's unless given.")
]
DEFAULT_STUDY = Study().name


def _versions(zoo: Zoo, model: str, entry: str | None) -> list[str]:
    """The served versions, or the one that is named. Raises `ServerError` where it is not served."""
    versions = zoo.versions(model)
    if not versions and entry is None:
        kind, first = ("generator", "sagan") if model == GENERATOR.model else ("classifier", "baseline")
        raise ServerError(f"no {kind} is served; make and serve one: make zoo ENTRIES={first}, and make serve")
    if not versions or (entry is not None and entry not in versions):
        raise ServerError(f"no entry {entry!r} is served; there are: {', '.join(versions) or 'none'}")
    return [entry] if entry else versions


@app.command()
def predict(
    image: Annotated[list[str], typer.Argument(help="Pictures of one lesion each: files, folders, or patterns.")],
    entry: Annotated[str | None, typer.Option(help="Ask this entry only.")] = None,
    out: Annotated[
        str | None, typer.Option(help="A .csv file; for several pictures below reports/ unless given.")
    ] = None,
    study: StudyName = DEFAULT_STUDY,
    port: Port = None,
) -> None:
    """Every served version side by side: one picture, or several; exit code 1 where some are not answered."""
    images, to = named(image), file_destination(out, Folders(study).reports, (".csv",))
    with connect(study, port) as zoo:
        versions = _versions(zoo, CLASSIFIER.model, entry)
        if len(images) == 1:
            rows = [ask.Row(images[0], version, ask.ask(zoo, images[0], version)) for version in versions]
        else:
            rows = ask.ask_all(zoo, images, versions)
    if out or len(images) > 1:
        atomic_write(to.file("predicted.csv"), ask.csv_of(rows))
    ask.print_rows(rows)
    if out or len(images) > 1:
        print(f"answers: {to.file('predicted.csv')}")
    if failed := {row.image for row in rows if row.answer is None}:
        message = f"error: {len(failed)} of {len(images)} pictures could not be answered; the column error says why"
        typer.echo(message, err=True)
        raise typer.Exit(1)


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="A picture of one lesion.")],
    entry: Annotated[str | None, typer.Option(help="Ask this entry; the default version unless given.")] = None,
    label: Annotated[
        str | None, typer.Option("--class", help=f"One of {', '.join(CLASSES)}; the predicted one unless given.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help=f"A file ({', '.join(PICTURES)}), or its folder; below reports/ unless given.")
    ] = None,
    study: StudyName = DEFAULT_STUDY,
    port: Port = None,
) -> None:
    """Where in a picture a version sees a class: Grad-CAM, on the picture."""
    pictures, to = named([image]), file_destination(out, Folders(study).reports / "explained")
    if len(pictures) > 1:
        raise UserError(f"IMAGE={image}: these are {len(pictures)} pictures; one is explained at a time")
    [picture] = pictures
    with connect(study, port) as zoo:
        version = _versions(zoo, CLASSIFIER.model, entry)[0] if entry else zoo.default()
        answer = ask.ask(zoo, picture, version)
        explained = label or answer["label"]
        overlay, blank = zoo.explain(read(picture), version, explained)
    file = to.file(f"{picture.stem}_{version}_{explained}.png")
    write_picture(file, overlay)
    probability = f"(probability {answer['probabilities'][explained]:.2f})"
    speaks = "nothing in the picture speaks for" if blank else "the bright places speak for"
    print(f"{version} predicts {answer['label']}; {speaks} {explained} {probability}: {shown(file)}")
    print(answer["notice"])


@app.command()
def synthesize(
    label: Annotated[str, typer.Option("--class", help=f"One of {', '.join(CLASSES)}; or all, for a grid.")] = "all",
    count: Annotated[
        int,
        typer.Option(parser=whole_number("COUNT", 1, 100_000), metavar="N", help="Images (of each class, for all)."),
    ] = 8,
    seed: Annotated[
        int,
        typer.Option(parser=whole_number("SEED", 0, 2**63 - 1), metavar="N", help="The same gives the same images."),
    ] = 0,
    generator: Annotated[str | None, typer.Option(help="Which one; the first that is served unless given.")] = None,
    out: Annotated[str | None, typer.Option(help="A folder for PNG files, or a picture's name for one grid.")] = None,
    study: StudyName = DEFAULT_STUDY,
    port: Port = None,
) -> None:
    """Draw synthetic lesions with a served generator."""
    folder, grid = Folders(study).reports / "synthetic", label == "all" or names_file(out or "")
    place = out if not out or names_file(out) else f"{out}/"
    to = file_destination(place, folder) if grid else folder_destination(place, folder)
    with connect(study, port) as zoo:
        version = _versions(zoo, GENERATOR.model, generator)[0]
        name = f"{version}_{label}_seed{seed}"
        if grid:
            files = {to.file(f"{name}.png"): zoo.grid(label, count, seed, version)}
        else:
            images = zoo.synthesize(label, count, seed, version)
            inside = to.folder if out else to.folder / name
            files = {inside / f"{label}_{seed}_{k:05}.png": image for k, image in enumerate(images)}
    for file, content in files.items():
        write_picture(file, content)
    print(f"{len(files)} file(s) by {version}: {next(iter(files)) if len(files) == 1 else next(iter(files)).parent}")
    print("Synthetic: no patients' data, not for diagnosis.")


@app.command()
def evaluate(
    test: Test = None,
    strict: Annotated[bool, typer.Option(help="Stop at an image of TEST that cannot be used.")] = False,
    scc: Scc = None,
    study: StudyName = DEFAULT_STUDY,
    port: Port = None,
) -> None:
    """Score every served version on the study's test split, or on TEST, and write the report."""
    from compare import evaluate as evaluation  # with scikit-learn, which takes a second

    folders = Folders(study)
    try:
        with connect(study, port) as zoo:
            labeled, folder = evaluation.images(folders, test, strict, scc, zoo.server)
            results = evaluation.evaluate(zoo, folders, labeled, folder)
    except KeyboardInterrupt:
        typer.echo("\ninterrupted: the answers that came are kept; the same command goes on from them", err=True)
        raise typer.Exit(130) from None
    _print_results(results, folder)


@app.command()
def report(test: Test = None, scc: Scc = None, study: StudyName = DEFAULT_STUDY) -> None:
    """Write the report again from the answers that were collected; no server is needed."""
    from compare import evaluate as evaluation

    folders = Folders(study)
    labeled, folder = evaluation.images(folders, test, scc=scc)
    results = evaluation.report(folders, labeled, folder)
    _print_results(results, folder)


@app.command()
def ab(
    a: Annotated[str, typer.Option(help="One entry.")],
    b: Annotated[str, typer.Option(help="The entry that it is compared with.")],
    test: Test = None,
    scc: Scc = None,
    study: StudyName = DEFAULT_STUDY,
) -> None:
    """The macro F1 of A less that of B, paired over the same lesions, from the answers that were collected."""
    from compare import evaluate as evaluation

    labeled, folder = evaluation.images(Folders(study), test, scc=scc)
    difference = evaluation.ab(labeled, folder, a, b)
    low, high = difference.interval
    print(f"macro F1 of {a} less that of {b}: {difference.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    print(f"p = {difference.p:.4f}, paired bootstrap over lesions; of these two checkpoints, not of their recipes")


@app.command()
def promote(
    entry: Annotated[str, typer.Argument(help="Which one; or best, by validation.")],
    force: Annotated[bool, typer.Option(help="Even if it is unscored or significantly worse.")] = False,
    study: StudyName = DEFAULT_STUDY,
    port: Port = None,
) -> None:
    """Make an entry the champion: the version that answers where a call names none."""
    from compare import evaluate as evaluation
    from compare.promote import promote as make_champion

    folders = Folders(study)
    with connect(study, port) as zoo:
        labeled, reports = evaluation.images(folders, None)
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
    study: StudyName = DEFAULT_STUDY,
) -> None:
    """Copy what was measured of finished entries into docs/results/STUDY: files to be committed, without images."""
    from compare.records import recording
    from compare.records.record import RESULTS, RecordError, differing, save

    folders, entries_by_name = Folders(study), catalog()
    folders.read()  # a mistyped name is no empty study
    check_names(entries_by_name, entries or ())
    names = entries or recording.finished(folders, entries_by_name)
    if not names:
        raise RecordError(f"nothing is trained in study {study!r} yet; first: make zoo")
    # All records are made before any is written: a mistake leaves no half of a study behind.
    results = folders.root / RESULTS
    for new_record in [recording.record(folders, name, entries_by_name[name]) for name in names]:
        changed = differing(results, new_record)
        state = "new" if changed is None else f"differs in {', '.join(changed)}" if changed else "as before"
        print(f"{save(results, new_record)} ({state})")


@app.command()
def results() -> None:
    """Write docs/results.md and its pictures from the records in docs/results; neither data nor weights are needed."""
    from compare.records.page import publish

    print(publish(Folders(DEFAULT_STUDY).root, catalog()))


def _print_results(results: "Results", folder: Path) -> None:
    """Print the results and the page's place; exit code 1 where versions answer otherwise than they did offline."""
    from compare.evaluate import table

    console(120).print(table(results))
    if results.left_out:
        lines = [f"  {line}" for line in results.left_out_lines]
        print("\n".join([f"left out: {counted(len(results.left_out), 'image')}", *lines]))
    differences = [result.offline.largest for result in results.results if result.offline is not None]
    if differences:
        print(f"served and offline probabilities differ by {max(differences):.1e} at most")
    for line in results.beside_records:
        print(line)
    print(f"report: {folder / 'index.html'}")
    for result in results.disagreeing:
        assert result.offline is not None
        message = f"{result.entry} answers otherwise than it did in training: by {result.offline.largest:.2g}"
        typer.echo(f"error: {message} on {result.offline.image}; archive it again: make zoo serve", err=True)
    for result in results.unlike_published:
        message = f"{result.entry} answers otherwise than the record of the same weights in docs/results"
        typer.echo(f"error: {message}; record it again: make results STUDY={results.study}", err=True)
    if results.disagreeing or results.unlike_published:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
