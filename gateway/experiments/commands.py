"""Commands of live experiments: start and stop one, list them, and delete a client's events."""

import re
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from gateway import start
from gateway.events.clients import FILE as KEY_FILE
from gateway.events.clients import Clients
from gateway.events.clients import check_name as check_client
from gateway.experiments import files
from gateway.experiments.experiment import Experiment, check_name
from gateway.experiments.files import FOLDER, ExperimentError
from gateway.keys import Keys
from lesions.errors import UserError
from lesions.sources.left_out import counted
from zoo.kinds.classifier import CLASSIFIER
from zoo.serving.http import NoServerError
from zoo.serving.options import StudyName
from zoo.serving.runtime import runtime_of
from zoo.study import Folders, Study
from zoo.terminal import console

app = typer.Typer()
DEFAULT_STUDY = Study().name
Name = Annotated[str, typer.Argument(help="Of the experiment: small letters, digits, _ and -.")]
GUARD = "errors=0.05 latency_ms=10000 answers=100"
PAUSE = 2.0
"""Seconds after which a running gateway has written what waited."""


@app.command()
def experiment(
    name: Name,
    arms: Annotated[str, typer.Option(help='The reference first: "transfer=0.9 lite1=0.1".')],
    study_name: StudyName = DEFAULT_STUDY,
    shadow: Annotated[str, typer.Option(help="Versions that answer unseen, blanks between.")] = "",
    metric: Annotated[str, typer.Option(help="accuracy, balanced_accuracy or macro_f1.")] = "",
    difference: Annotated[str, typer.Option(help="The smallest one of interest: 0.03.")] = "",
    guard: Annotated[str, typer.Option(help=f'When an arm is taken out: "{GUARD}".')] = "",
) -> None:
    """Start an experiment, or change the shares of a running one. It counts at once."""
    folders = Folders(study_name).existing()
    given: dict[str, object] = {"shadows": tuple(shadow.split())} if shadow.split() else {}
    given |= {"metric": metric} if metric else {}
    given |= {"smallest_difference": _number("DIFFERENCE", difference)} if difference else {}
    given |= {"guard": _numbers("GUARD", guard)} if guard else {}
    wanted = files.create(name=name, started=time.time(), arms=_numbers("ARMS", arms), **given)
    weights = _weights(folders, wanted)
    now = files.start(folders.runs / FOLDER, wanted.model_copy(update={"weights": weights}))
    print(f"{now.name}: {_shares(now)}" + (f"; unseen: {', '.join(now.shadows)}" if now.shadows else ""))
    print(f"the reference is {now.reference}; it holds for /v1/classify without a version, at once")
    if not weights:
        print("nothing is served now: make serve, then this command again, which looks whether these versions are")


@app.command()
def experiments(study_name: StudyName = DEFAULT_STUDY) -> None:
    """List the experiments of a study."""
    there = files.read_all(Folders(study_name).existing().runs / FOLDER)
    table = Table("name", "state", "since", "arms", "unseen", "metric")
    for one in there.experiments:
        state = "running" if one.ended is None else f"ended {day(one.ended)}"
        table.add_row(one.name, state, day(one.started), _shares(one), "\n".join(one.shadows), one.metric)
    console().print(table)
    for one in there.experiments:
        for arm, removal in one.removed.items():
            print(f"{one.name}: {arm} was taken out {day(removal.time)}: {removal.reason}")
    if there.problems:
        raise ExperimentError("\n".join(there.problems))


@app.command()
def stop_experiment(name: Name, study_name: StudyName = DEFAULT_STUDY) -> None:
    """End an experiment, at once: the default version answers again."""

    def ended(one: Experiment) -> Experiment:
        if one.ended is not None:
            raise ExperimentError(f"{name} has ended already, {day(one.ended)}")
        return files.update(one, ended=time.time())

    try:
        check_name(name)
    except ValueError as error:
        raise ExperimentError(f"NAME: {error}") from None
    files.change(Folders(study_name).existing().runs / FOLDER, name, ended)
    print(f"{name} has ended; feedback to its answers is still taken")


@app.command()
def forget(
    study_name: StudyName = DEFAULT_STUDY,
    client: Annotated[str, typer.Option(help="What the client called itself (X-Client-Id).")] = "",
    key: Annotated[str, typer.Option(help="The name of its API key; all keys, where none is given.")] = "",
    events: Annotated[
        str, typer.Option(help="Where they are, as of a cluster: postgresql://zoo@db/events; else the study's own.")
    ] = "",
) -> None:
    """Delete all events of a client: answers, shadows' answers, feedback. Without CLIENT, those of a key by itself."""
    from sqlalchemy.exc import SQLAlchemyError  # here: it takes a third of a second

    from gateway.events.database import EventsError, check_url, connect, database_url, is_kept, reason
    from gateway.events.deletion import forget as delete
    from gateway.events.deletion import overwrite

    if not (client or key):
        raise UserError("whose events? make forget CLIENT=name, or KEY=phone")
    own_name = check_client(client) if client else None
    folders = Folders(study_name).existing()
    runs, keys = folders.runs, folders.root / "keys"
    names = [key] if key else [one.name for one in Keys(keys / "api_keys.json").all()]
    if not names:
        raise UserError("there is no API key any more; name the one that the client had: KEY=phone")
    clients, own = Clients(runs, keys), database_url(runs)
    address = check_url(events) if events else own
    foreign = address != own and not (keys / KEY_FILE).exists()  # the study's own key hashes to other names
    if foreign or not (clients.known() and is_kept(address)):
        raise EventsError(
            f"no answer is kept of {folders.name} on this machine; those of a cluster need its "
            "keys/events.key, and EVENTS=postgresql://zoo@db/events"
        )
    hashes = [one for name in names for one in clients.all_hashes(name, own_name)]
    engine = connect(address)
    try:
        answers, feedback = delete(engine, hashes)
        if events or start.running(folders.serve):  # some may have waited
            time.sleep(PAUSE)
            more = delete(engine, hashes)
            answers, feedback = answers + more[0], feedback + more[1]
        overwrite(engine)
    except SQLAlchemyError as error:
        raise EventsError(f"not all is deleted ({reason(error)}); run it again") from None
    finally:
        engine.dispose()
    print(f"deleted: {counted(answers, 'answer')} and {feedback} feedback of {client or 'the key ' + key}")


def _weights(folders: Folders, wanted: Experiment) -> dict[str, str]:
    """The sha256 of the weights of each version; none where no server runs. Raises `ExperimentError`."""
    runtime, names = runtime_of(folders.serve), (*wanted.arms, *wanted.shadows)
    try:
        with closing(runtime.connect(folders.serve)) as server:
            served = server.versions(CLASSIFIER.model)
            if unknown := [name for name in names if name not in served]:
                raise ExperimentError(f"{unknown[0]} is not served; there are: {', '.join(served)}")
            return {name: server.describe(CLASSIFIER.model, name)["weights_sha256"] for name in names}
    except NoServerError:
        return {}


def _numbers(setting: str, text: str) -> dict[str, float]:
    """Names and numbers: "transfer=0.9 lite1=0.1". Raises `ExperimentError`."""
    numbers: dict[str, float] = {}
    for word in text.split():
        name, equals, number = word.partition("=")
        if not (name and equals) or name in numbers:
            raise ExperimentError(f'{setting}={text[:80]}: it is written as in {setting}="{_example(setting)}"')
        numbers[name] = _number(setting, number)
    return numbers


def _example(setting: str) -> str:
    return GUARD if setting == "GUARD" else "transfer=0.9 lite1=0.1"


def _number(setting: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]*\.?[0-9]+", text):
        raise ExperimentError(f"{setting}: {text[:20]!r} is no number")
    return float(text)


def _shares(one: Experiment) -> str:
    def share(arm: str, number: float) -> str:
        return f"{arm} {number:.4g}" + (" (taken out)" if arm in one.removed else "")

    arms: Mapping[str, float] = one.arms
    return ", ".join(share(arm, number) for arm, number in arms.items())


def day(seconds: float) -> str:
    """A time (seconds since 1970) as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
