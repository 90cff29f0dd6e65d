"""The running experiment, for the gateway: changes of its file count at once."""

from pathlib import Path
from typing import NamedTuple

from gateway import log
from gateway.experiments import files
from gateway.experiments.assignment import assign
from gateway.experiments.experiment import Experiment, Identity


class Plan(NamedTuple):
    """Who answers a client."""

    experiment: Experiment | None
    arm: str | None
    """None: the default version."""


NOTHING = Plan(None, None)


class Running:
    """The running experiment in a folder. All methods belong to one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out: dict[Identity, set[str]] = {}
        """Arms that the guard has taken out, as long as the experiment's file does not say so."""
        self._seen: dict[Path, tuple[int, ...] | None] = {folder: ()}
        """The folder, where each file is written under another name, and the files, which may be edited in place."""
        self._experiment: Experiment | None = None
        self._problems: list[str] = []

    def plan(self, client: str) -> Plan:
        """The arm that answers a client (its hash)."""
        experiment = self.experiment()
        if experiment is None:
            return NOTHING
        return Plan(experiment, assign(experiment, client, self.out.get(experiment.identity, ())))

    def experiment(self) -> Experiment | None:
        """The running experiment. None where there is none, or its file is damaged, as the log says then."""
        if any(_stat(place) != seen for place, seen in self._seen.items()):
            self._read()
        return self._experiment

    def _read(self) -> None:
        # Looked at before they are read: what changes meanwhile is seen next time.
        self._seen = {place: _stat(place) for place in (self.folder, *self.folder.glob("*.toml"))}
        there = files.read_all(self.folder)
        running = there.running
        for one in there.experiments:
            if one.ended is not None:
                self._seen.pop(files.file_of(self.folder, one.name), None)
        problems = list(there.problems)
        if len(running) > 1:
            names = [one.name for one in running]
            problems.append(f"{', '.join(names)} are all running; only {names[0]} is; stop the others")
        for problem in problems:
            if problem not in self._problems:
                log.write(event="an experiment's file is wrong", problem=problem)
        before, self._problems = self._experiment, problems
        self._experiment = running[0] if running else None
        if self._experiment != before:
            now = self._experiment
            log.write(event="the experiment has changed", name=now and now.name, arms=now and now.arms)


def _stat(place: Path) -> tuple[int, ...] | None:
    """What is another one when a file or folder has changed; none where there is none."""
    try:
        state = place.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
