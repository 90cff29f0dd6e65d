"""The files of experiments: `runs/<study>/experiments/NAME.toml`, written whole, one change at a time."""

import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tomli_w
from pydantic import BaseModel, ValidationError

from gateway.experiments.experiment import Earlier, Experiment, Guard, Removal
from lesions.errors import UserError
from lesions.files import atomic_write, file_lock

FOLDER = "experiments"
"""In a study's folder."""


class ExperimentError(UserError):
    """An experiment that cannot be, or whose file is damaged; `str()` says why."""


class All(NamedTuple):
    """The experiments of a study."""

    experiments: list[Experiment]
    """The first started first."""
    problems: list[str]
    """Of files that cannot be read."""

    @property
    def running(self) -> list[Experiment]:
        """Those that have not ended: one at most, unless somebody has edited the files."""
        return [one for one in self.experiments if one.ended is None]


def file_of(folder: Path, name: str) -> Path:
    """The file of an experiment."""
    return folder / f"{name}.toml"


def read(file: Path) -> Experiment:
    """The experiment in a file. Raises `ExperimentError`, which names the file."""
    try:
        experiment = Experiment.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        names = ", ".join(sorted(other.stem for other in file.parent.glob("*.toml"))) or "none"
        raise ExperimentError(f"no experiment is named {file.stem!r:.70}; there are: {names}") from None
    except ValidationError as error:
        raise ExperimentError(f"{file}: {_first(error)}; mend it, or delete it") from None
    except (OSError, ValueError) as error:  # no TOML, no UTF-8
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ExperimentError(f"{file}: {reason}; mend it, or delete it") from None
    if experiment.name != file.stem:
        raise ExperimentError(f"{file}: the name in it is {experiment.name}; mend it, or delete it")
    return experiment


def read_all(folder: Path) -> All:
    """All experiments in a folder, which need not exist, and what is wrong with files that cannot be read."""
    experiments, problems = [], []
    for file in sorted(folder.glob("*.toml")):
        try:
            experiments.append(read(file))
        except ExperimentError as error:
            problems.append(str(error))
    return All(sorted(experiments, key=lambda one: one.started), problems)


def start(folder: Path, wanted: Experiment) -> Experiment:
    """Write a new experiment; or, where this very one is running with other shares, change these; returns it.

    Raises `ExperimentError` where another one is running, or this one cannot change so.
    """
    with file_lock(folder):
        there = read_all(folder)
        file = file_of(folder, wanted.name)
        if others := [one.name for one in there.running if one.name != wanted.name]:
            raise ExperimentError(
                f"{others[0]} is running, and a model has one at a time: make stop-experiment NAME={others[0]}"
            )
        if file.exists():
            wanted = _changed(read(file), wanted)
        write(folder, wanted)
    return wanted


def change(folder: Path, name: str, to: Callable[[Experiment], Experiment]) -> Experiment:
    """Write what `to` makes of an experiment, while nobody else changes it; returns it. Raises `ExperimentError`."""
    with file_lock(folder):
        changed = to(read(file_of(folder, name)))
        write(folder, changed)
    return changed


def update(experiment: Experiment, **changes: object) -> Experiment:
    """A copy with changes. Raises `ExperimentError` for one that cannot be."""
    try:
        return Experiment.model_validate(experiment.model_dump() | changes)
    except ValidationError as error:
        raise ExperimentError(f"{experiment.name}: {_first(error)}") from None


def create(**fields: object) -> Experiment:
    """A new experiment. Raises `ExperimentError` for one that cannot be."""
    try:
        return Experiment.model_validate(fields)
    except ValidationError as error:
        raise ExperimentError(_first(error)) from None


def write(folder: Path, experiment: Experiment) -> None:
    """Write an experiment's file, whole. `change` is for one that is there."""
    content = experiment.model_dump(mode="json", exclude_none=True)
    atomic_write(file_of(folder, experiment.name), tomli_w.dumps(content))


def _changed(old: Experiment, wanted: Experiment) -> Experiment:
    """A running experiment with the shares of another one; arms that were taken out come back."""
    if old.ended is not None:
        raise ExperimentError(f"{old.name} has ended; choose another name")
    if old.arms.keys() != wanted.arms.keys():
        raise ExperimentError(
            f"{old.name} is running with the arms {', '.join(old.arms)}: its shares can change, its arms cannot; "
            f"stop it, and start another one: make stop-experiment NAME={old.name}"
        )
    if mixed := [name for name in old.weights.keys() & wanted.weights if old.weights[name] != wanted.weights[name]]:
        raise ExperimentError(
            f"{sorted(mixed)[0]} was trained anew since {old.name} began, whose figures would be of both; stop it, "
            f"and start another one: make stop-experiment NAME={old.name}"
        )
    asked = wanted.model_fields_set - {"started", "arms", "weights"}
    if other := sorted(key for key in asked if getattr(wanted, key) != getattr(old, key)):
        raise ExperimentError(f"{old.name} is running; of it only ARMS can change, and not: {', '.join(other)}")
    arms = {arm: wanted.arms[arm] for arm in old.arms}  # in the old order: the first is the reference
    old = update(old, weights=wanted.weights | old.weights)  # it may have begun before anything was served
    if arms == old.arms and not old.removed:
        return old
    before = Earlier(arms=old.arms, removed=old.removed, until=time.time())
    return update(old, arms=arms, removed={}, earlier=[one.model_dump() for one in (*old.earlier, before)])


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in the terms of the file."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"] if part != "[key]"]  # so pydantic says that a key itself is wrong
    if first["type"] == "extra_forbidden":
        inner: dict[str, type[BaseModel]] = {"guard": Guard, "removed": Removal, "earlier": Earlier}
        schema = next((inner[part] for part in reversed(parts[:-1]) if part in inner), Experiment)
        allowed = ", ".join(schema.model_fields)
        return f"unknown key {'.'.join(parts)!r:.70}; allowed: {allowed}"
    message = first["msg"].removeprefix("Value error, ")
    # A sentence of our own names what it is about.
    return message if first["type"] == "value_error" else f"{'.'.join(parts)}: {message}"
