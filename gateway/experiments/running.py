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
        self._version: tuple[int, ...] | None = None
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
        version = self._stat()
        if version != self._version:
            self._version = version
            self._read()
        return self._experiment

    def _stat(self) -> tuple[int, ...]:
        """What changes with the folder, where each file is written under another name, and with the file itself."""
        stat: list[int] = []
        for place in (self.folder, self._experiment and files.file_of(self.folder, self._experiment.name)):
            try:
                state = place.stat() if place else None
            except OSError:
                state = None
            stat += [state.st_ino, state.st_mtime_ns, state.st_size] if state else [0]
        return tuple(stat)

    def _read(self) -> None:
        there = files.read_all(self.folder)
        running = there.running
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
            log.write(event="the experiment is another one", name=now and now.name, arms=now and now.arms)
            self._version = self._stat()  # of its file now
