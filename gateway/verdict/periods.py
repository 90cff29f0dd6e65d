"""Periods of an experiment: between two changes of who answers whom, arms have clients of the same time."""

from collections.abc import Callable

import numpy as np

from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.sequences import LEAST_CLIENTS


def matched(
    experiment: Experiment, ours: Answers, theirs: Answers, of: Callable[[Answers], Clients]
) -> tuple[Clients, Clients]:
    """The clients of two arms, of whose answers `of` makes them, so that each period counts the same in both.

    Else an arm that had more clients while pictures were easier would look better (Simpson's paradox). A period counts
    by its clients in both arms (post-stratification); one with fewer than `LEAST_CLIENTS` in either does not count. In
    each period, a client counts once.
    """
    periods = [np.searchsorted(experiment.changes, side.times, side="right") for side in (ours, theirs)]
    pairs = []
    for period in range(len(experiment.changes) + 1):
        mine, other = (side.take(own == period) for side, own in zip((ours, theirs), periods, strict=True))
        pairs.append((of(mine), of(other)))
    large = [pair for pair in pairs if min(map(len, pair)) >= LEAST_CLIENTS]
    if not large:
        return max(pairs, key=lambda pair: min(map(len, pair)))
    sizes = np.array([len(mine) + len(other) for mine, other in large])
    first, second = zip(*large, strict=True)
    return Clients.mixed(first, sizes / sizes.sum()), Clients.mixed(second, sizes / sizes.sum())
