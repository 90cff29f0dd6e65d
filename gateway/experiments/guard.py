"""The guard: takes an arm out that fails or is slow, so that its clients get another one's answers."""

import asyncio
import time
from collections import deque
from typing import NamedTuple

from gateway import log
from gateway.experiments import files
from gateway.experiments.assignment import left
from gateway.experiments.experiment import Experiment, Identity, Removal
from gateway.experiments.files import ExperimentError
from gateway.experiments.running import Running

PAUSE = 5.0
"""Seconds after which a removal that could not be written is tried again."""


class _Seen(NamedTuple):
    failed: bool
    slow: bool


class Guard:
    """The last answers of each arm, in this process. All methods belong to one event loop."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._experiment: Identity | None = None
        self._seen: dict[str, deque[_Seen]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def observe(self, experiment: Experiment, arm: str, failed: bool, latency_ms: float) -> None:
        """Count an answer of an arm, and take the arm out if it was one too many. The last arm is never taken out."""
        if self._experiment != experiment.identity:
            self._experiment, self._seen = experiment.identity, {}
        limits, slow = experiment.guard, latency_ms > experiment.guard.latency_ms
        seen = self._seen.setdefault(arm, deque(maxlen=limits.answers))
        seen.append(_Seen(failed, slow))
        out = self._running.out.setdefault(experiment.identity, set())
        others = left(experiment, out).keys() - {arm}
        gone = arm in experiment.removed or arm in out
        if len(seen) < limits.answers or not (failed or slow) or gone or not others:
            return
        reason = _trouble(experiment, seen)
        # Where all the others are no better, it is not the arm that is at fault.
        if reason and not all(_trouble(experiment, self._seen.get(other, ())) for other in others):
            seen.clear()
            out.add(arm)
            log.write(event="an arm is taken out", experiment=experiment.name, arm=arm, reason=reason)
            task = asyncio.create_task(self._write(experiment, arm, Removal(time=time.time(), reason=reason)))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, experiment: Experiment, arm: str, removal: Removal) -> None:
        """Write a removal into the experiment's file, so that it holds after a restart, too."""

        def removed(now: Experiment) -> Experiment:
            return files.update(now, removed=now.model_dump()["removed"] | {arm: removal.model_dump()})

        name = experiment.name
        while True:
            try:
                await asyncio.to_thread(files.change, self._running.folder, name, removed)
                self._running.out[experiment.identity].discard(arm)  # from now on the file says it
                return
            except (OSError, ExperimentError) as error:
                log.write(event="a removal cannot be written", experiment=name, arm=arm, reason=str(error))
            if not files.file_of(self._running.folder, name).exists():
                return  # somebody has deleted it
            await asyncio.sleep(PAUSE)


def _trouble(experiment: Experiment, seen: "deque[_Seen] | tuple[()]") -> str:
    """Why an arm should be taken out, by its last answers; empty where it should not."""
    limits, number = experiment.guard, len(seen)
    failed, slow = sum(one.failed for one in seen), sum(one.slow for one in seen)
    if failed > limits.errors * number:
        return f"{failed} of its last {number} answers were failures"
    if 2 * slow > number:
        return f"of its last {number} answers, more than half took over {limits.latency_ms:g} ms, or nobody waited"
    return ""
