"""Commands that judge what was answered: the verdict on an experiment, drift, promotion and its way back."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.experiments import files
from gateway.experiments.commands import day
from gateway.experiments.experiment import Experiment
from gateway.experiments.files import FOLDER, ExperimentError
from lesions.sources.left_out import counted
from zoo.serving import champion
from zoo.serving.options import StudyName
from zoo.serving.runtime import runtime_of
from zoo.study import Folders, Study, StudyError
from zoo.terminal import console, whole_number

if TYPE_CHECKING:
    from gateway.verdict.answers import Answers
    from gateway.verdict.verdict import Verdict

app = typer.Typer()
DEFAULT_STUDY = Study().name
Name = Annotated[str, typer.Option(help="Of the experiment; the one that runs, or ran last, unless given.")]
Hours = Annotated[
    int,
    typer.Option(
        parser=whole_number("HOURS", 1, 24 * 366), metavar="N", help="The last so many hours before the last answer."
    ),
]


@app.command()
def experiment_report(study_name: StudyName = DEFAULT_STUDY, name: Name = "") -> None:
    """Judge an experiment by the feedback to its answers, and write its page."""
    folders = Folders(study_name).existing()
    _show(folders, *_judge(folders, _experiment(folders, name)))


@app.command()
def experiment_demo(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Run an experiment by itself, with the study's test pictures as clients, and write its page."""
    from gateway import demo

    began = time.monotonic()
    folders = Folders(study_name)
    verdict, answers = demo.run(folders)
    _show(folders, verdict, answers)
    print(f"it took {time.monotonic() - began:.0f} s; nothing of it is running any more")


@app.command()
def promote(
    experiment: Annotated[str, typer.Option(help="The experiment whose winner becomes champion.")],
    study_name: StudyName = DEFAULT_STUDY,
    entry: Annotated[str, typer.Option(help="One of its arms, instead of the winner.")] = "",
    force: Annotated[bool, typer.Option(help="Even if nothing is shown.")] = False,
) -> None:
    """Make an experiment's winner the champion, and end the experiment."""
    from gateway.verdict.promotion import promote as make_champion

    folders = Folders(study_name).existing()
    one = _experiment(folders, experiment)
    verdict, answers = _judge(folders, one)
    with closing(runtime_of(folders.serve).connect(folders.serve)) as server:
        promoted = make_champion(server, folders.archives, verdict, entry, force)
    if one.ended is None:
        one = files.change(folders.runs / FOLDER, one.name, lambda now: files.update(now, ended=time.time()))
    evidence = promoted.evidence
    assert evidence is not None
    print(f"{promoted.entry} is the champion of {folders.name}: {evidence.conclusion} ({evidence.labeled:,} labels)")
    if evidence.difference is not None and evidence.difference_interval is not None:
        low, high = evidence.difference_interval
        print(f"{evidence.metric} against {evidence.reference}: {evidence.difference:+.3f} ({low:+.3f} to {high:+.3f})")
    if promoted.forced:
        print(f"forced, although {promoted.forced}")
    page = _write_page(folders, verdict.model_copy(update={"experiment": one}), answers)
    print(f"{one.name} has ended; page: {page}")


@app.command()
def rollback(
    study_name: StudyName = DEFAULT_STUDY,
    why: Annotated[str, typer.Option(help="For the record.")] = "by hand",
    force: Annotated[bool, typer.Option(help="Even if it was trained anew since.")] = False,
) -> None:
    """Make the champion before the present one the champion again."""
    from gateway.verdict.promotion import roll_back

    folders = Folders(study_name)
    with closing(runtime_of(folders.serve).connect(folders.serve)) as server:
        back = roll_back(server, folders.archives, why, force)
    print(f"{back.entry} is the champion of {folders.name} again, instead of {back.previous}")
    if running := files.read_all(folders.runs / FOLDER).running:
        stop = f"make stop-experiment NAME={running[0].name}"
        print(f"{running[0].name} is still running: its arms answer where a call names no version; to end it: {stop}")


@app.command()
def drift(
    study_name: StudyName = DEFAULT_STUDY,
    entry: Annotated[str, typer.Option(help="This version only.")] = "",
    hours: Hours = 24 * 7,
) -> None:
    """Compare what versions answered, hour by hour, with their answers about validation, and write a page.

    The hours count back from the last answer.
    """
    from gateway.drift import drift as drifts
    from gateway.drift.answers import last_time, of_version, versions
    from gateway.drift.page import page, table
    from gateway.events.database import database_url, reading
    from lesions.index import DataError
    from zoo.models.session import ModelError

    folders = Folders(study_name).existing()
    events = database_url(folders.runs)
    with reading(events) as engine:
        last = last_time(engine)
        if last is None:
            raise StudyError(
                f"no version of {folders.name} has answered through the gateway yet, by /v1/classify or /v2"
            )
        since, until = last - hours * drifts.HOUR, last + 1
        there = versions(engine, since, until)
    if entry and entry not in there:
        raise StudyError(f"{entry} has not answered in the last {hours} hours; there are: {', '.join(there)}")
    measured, left_out = [], []
    for name in [entry] if entry else there:
        try:
            valid = drifts.validation(folders, name)
        except (DataError, ModelError) as error:
            left_out.append(f"{name} is left out: {error}")
            continue
        with reading(events) as engine:
            answers = of_version(engine, name, since, until)
        if earlier := int((answers.times < valid.since).sum()):
            left_out.append(f"{name}: {counted(earlier, 'answer')} from before it was trained anew, not looked at")
        measured.append(drifts.measure(name, answers.take(answers.times >= valid.since), valid))
    if not measured:
        raise StudyError("\n".join(left_out))
    print(f"answers from {day(since)} to {day(last)} UTC, when the last one was given")
    console(120).print(table(measured))
    for line in [*left_out, *(line for one in measured for line in one.warnings)]:
        print(f"warning: {line}")
    print(f"page: {page(measured, folders)}")


def _judge(folders: Folders, experiment: Experiment) -> tuple["Verdict", "Answers"]:
    """The verdict on an experiment now, and the answers that it is on."""
    from gateway.events.database import database_url, reading
    from gateway.verdict.answers import of_experiment
    from gateway.verdict.verdict import judge

    with reading(database_url(folders.runs)) as engine:
        answers = of_experiment(engine, experiment)
    retrained = [
        name for name, sha256 in experiment.weights.items() if champion.is_retrained(folders.archives, name, sha256)
    ]
    unknown = [name for name in (*experiment.arms, *experiment.shadows) if name not in experiment.weights]
    return judge(experiment, answers, folders.name, retrained, unknown), answers


def _show(folders: Folders, verdict: "Verdict", answers: "Answers") -> None:
    """Print a verdict, and write its page."""
    from gateway.verdict.page import table

    console(160).print(table(verdict))
    for line in verdict.warnings:
        print(f"warning: {line}")
    print(f"page: {_write_page(folders, verdict, answers)}")


def _write_page(folders: Folders, verdict: "Verdict", answers: "Answers") -> Path:
    from gateway.verdict.page import page  # matplotlib takes a second

    return page(verdict, answers, folders)


def _experiment(folders: Folders, name: str) -> Experiment:
    """The experiment of that name; without one, the last that was started. Raises `ExperimentError`."""
    there = files.read_all(folders.runs / FOLDER)
    by_name = {one.name: one for one in there.experiments}
    if name in by_name:
        return by_name[name]
    if name or not by_name:
        problems = "".join(f"\n{problem}" for problem in there.problems)
        advice = "make experiment NAME=... ARMS=..."
        if not name:
            raise ExperimentError(f"no experiment in study {folders.name!r} yet: {advice}{problems}")
        names = ", ".join(by_name) or f"none yet: {advice}"
        raise ExperimentError(f"no experiment {name[:70]!r} in study {folders.name!r}; there are: {names}{problems}")
    return next(iter(there.running), there.experiments[-1])
