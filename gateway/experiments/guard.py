"""The guard: takes an arm out that fails or is slow, so that its clients get another one's answers."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from gateway import log
from gateway.experiments import files
from gateway.experiments.assignment import left
from gateway.experiments.experiment import Experiment, Identity, Removal
from gateway.experiments.files import ExperimentError
from gateway.experiments.running import Running

PAUSE = 5.0
"""Seconds after which a removal that could not be written is tried again."""
REMEMBERED = 2000
"""The last answers that are kept of each arm, so that small differences are seen, too; a guard's `answers`, if more."""
LEAST = 5
"""Answers that another arm must have in the same time before it can be the better one."""
EVIDENCE = 10_000.0
"""How many times likelier the answers must be if the two arms differ than if they are alike."""


class _Seen(NamedTuple):
    number: int
    """Of all answers, so that those of two arms can be put in order."""
    failed: bool
    slow: bool


class Guard:
    """The last answers of each arm, in this process. All methods belong to one event loop."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._experiment: Identity | None = None
        self._seen: dict[str, deque[_Seen]] = {}
        self._number = 0
        self._writing: set[asyncio.Task[None]] = set()

    def observe(self, experiment: Experiment, arm: str, failed: bool, latency_ms: float) -> None:
        """Count an answer of an arm, and take the arm out if it was one too many. The last arm is never taken out."""
        if self._experiment != experiment.identity:
            self._experiment, self._seen = experiment.identity, {}
        limits, slow = experiment.guard, latency_ms > experiment.guard.latency_ms
        seen = self._seen.setdefault(arm, deque(maxlen=max(REMEMBERED, limits.answers)))
        self._number += 1
        seen.append(_Seen(self._number, failed, slow))
        out = self._running.out.setdefault(experiment.identity, set())
        # An arm of share 0 was paused on purpose: clients shall not go there.
        others = {name for name, share in left(experiment, out).items() if share and name != arm}
        gone = arm in experiment.removed or arm in out
        if len(seen) < limits.answers or not (failed or slow) or gone or not others:
            return
        last = list(islice(seen, len(seen) - limits.answers, None))
        reason = _trouble(experiment, last)
        # Where all the others are no better, it is not the arm that is at fault.
        if reason and any(_is_better(self._seen.get(other, deque()), seen, last) for other in others):
            seen.clear()
            out.add(arm)
            log.write(event="an arm is taken out", experiment=experiment.name, arm=arm, reason=reason)
            task = asyncio.create_task(self._write(experiment, arm, Removal(time=time.time(), reason=reason)))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, experiment: Experiment, arm: str, removal: Removal) -> None:
        """Write a removal into the experiment's file, so that it holds after a restart, too."""

        def removed(now: Experiment) -> Experiment:
            if now.identity != experiment.identity:  # another one of the same name: nothing is to be removed
                return now
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


def _trouble(experiment: Experiment, last: list[_Seen]) -> str:
    """Why an arm should be taken out, by its last answers; empty where it should not."""
    limits, number = experiment.guard, len(last)
    failed, slow = sum(one.failed for one in last), sum(one.slow for one in last)
    if failed > limits.errors * number:
        return f"{failed} of its last {number} answers were failures"
    if 2 * slow > number:
        return f"of its last {number} answers, more than half took over {limits.latency_ms:g} ms, or nobody waited"
    return ""


def _is_better(other: deque[_Seen], arm: deque[_Seen], last: list[_Seen]) -> bool:
    """Whether another arm does better than one in trouble, whose answers are `arm` and `last`, at the same time.

    That is since the arm's first bad one of its last answers; or for as long as both are remembered, which shows small
    differences, too.
    """
    if not other:
        return False
    both = max(other[0].number, arm[0].number)
    bad = next(one.number for one in last if one.failed or one.slow)
    for since in {both, max(both, bad)}:
        (failed, good), (others_failed, others_good) = _count(arm, since), _count(other, since)
        number, others_number = failed + good, others_failed + others_good
        if others_number >= LEAST and failed * others_number > others_failed * number:
            apart = _log_chance(failed, good) + _log_chance(others_failed, others_good)
            if apart - _log_chance(failed + others_failed, good + others_good) > math.log(EVIDENCE):
                return True
    return False


def _count(seen: Iterable[_Seen], since: int) -> tuple[int, int]:
    """How many answers since the one with this number were bad, and how many were good."""
    some = [one.failed or one.slow for one in seen if one.number >= since]
    return sum(some), len(some) - sum(some)


def _log_chance(bad: int, good: int) -> float:
    """The logarithm of the chance of these answers, in their order, where every rate is as likely as every other."""
    return math.lgamma(bad + 1) + math.lgamma(good + 1) - math.lgamma(bad + good + 2)
