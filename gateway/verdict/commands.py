"""Commands that judge what was answered: the verdict on an experiment, drift, promotion and its way back."""

from typing import Annotated

import typer

from gateway.experiments import files
from gateway.experiments.experiment import Experiment
from gateway.experiments.files import FOLDER, ExperimentError
from zoo.serving.options import StudyName
from zoo.study import Folders, Study
from zoo.terminal import console, whole_number

app = typer.Typer()
DEFAULT_STUDY = Study().name
Name = Annotated[str, typer.Option(help="Of the experiment; the one that runs, or ran last, unless given.")]
Hours = Annotated[
    int, typer.Option(parser=whole_number("HOURS", 1, 24 * 366), metavar="N", help="The last so many hours.")
]


@app.command()
def experiment_report(study_name: StudyName = DEFAULT_STUDY, name: Name = "") -> None:
    """Judge an experiment by the feedback to its answers, and write its page."""
    from gateway.events.database import connect, database_url
    from gateway.verdict.answers import of_experiment
    from gateway.verdict.page import page, table
    from gateway.verdict.verdict import judge

    folders = Folders(study_name)
    experiment = _experiment(folders, name)
    engine = connect(database_url(folders.runs))
    try:
        answers = of_experiment(engine, experiment)
    finally:
        engine.dispose()
    verdict = judge(experiment, answers, folders.name)
    console(160).print(table(verdict))
    for line in verdict.warnings:
        print(f"warning: {line}")
    print(f"page: {page(verdict, answers, folders)}")


@app.command()
def drift(
    study_name: StudyName = DEFAULT_STUDY,
    entry: Annotated[str, typer.Option(help="This version only.")] = "",
    hours: Hours = 24 * 7,
) -> None:
    """Compare what versions answered, hour by hour, with their answers about validation, and write a page."""
    from gateway.drift import drift as drifts
    from gateway.drift.page import page, table
    from gateway.events.database import connect, database_url
    from gateway.verdict.answers import last_time, of_version, versions
    from zoo.study import StudyError

    folders = Folders(study_name)
    engine = connect(database_url(folders.runs))
    try:
        there, last = versions(engine), last_time(engine)
        if last is None or (entry and entry not in there):
            raise StudyError(f"{entry or 'nothing'} has answered yet; there are: {', '.join(there) or 'none'}")
        since, until = last - hours * drifts.HOUR, last + 1
        measured = [
            drifts.measure(name, of_version(engine, name, since, until), drifts.validation(folders, name))
            for name in ([entry] if entry else there)
        ]
    finally:
        engine.dispose()
    console(120).print(table(measured))
    for line in [line for one in measured for line in one.warnings]:
        print(f"warning: {line}")
    print(f"page: {page(measured, folders)}")


def _experiment(folders: Folders, name: str) -> Experiment:
    """The experiment of that name; without one, the last that was started. Raises `ExperimentError`."""
    there = files.read_all(folders.runs / FOLDER)
    by_name = {one.name: one for one in there.experiments}
    if name in by_name:
        return by_name[name]
    if name or not by_name:
        problems = "".join(f"\n{problem}" for problem in there.problems)
        names = ", ".join(by_name) or "none yet: make experiment NAME=... ARMS=..."
        raise ExperimentError(f"no experiment {name[:70]!r} in study {folders.name!r}; there are: {names}{problems}")
    return next(iter(there.running), there.experiments[-1])
