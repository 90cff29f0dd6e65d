"""Made-up experiments, many side by side, each looked at after every answer: how often is something shown?

Sums are updated from answer to answer, which gives the variances of `gateway.verdict.estimates`; a test compares both.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from gateway.verdict.estimates import LEAST_OF_CLASS
from gateway.verdict.metrics import BY_CLASS, METRICS
from gateway.verdict.sequences import ALPHA, EXTRA, LEAST_CLIENTS, half_width

Counts = NDArray[np.float64]


class Shown(NamedTuple):
    """The look (from 1) at which each of r experiments first showed something, [r]; one more than the last if never."""

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    answers: int

    @property
    def share(self) -> float:
        """Of experiments that ever say "shown better"."""
        return float((self.better <= self.answers).mean())

    @property
    def share_worse(self) -> float:
        """Of experiments that ever say "shown worse"."""
        return float((self.worse <= self.answers).mean())


def fixed_size(accuracies: tuple[float, float], power: float = 0.8) -> int:
    """How many answers, of both arms, a two-sided test of two shares at 5 % needs that is looked at once (Fleiss)."""
    first, second = accuracies
    mean, (upper, lower) = (first + second) / 2, norm.ppf([1 - ALPHA / 2, power])
    spread = upper * (2 * mean * (1 - mean)) ** 0.5 + lower * (first * (1 - first) + second * (1 - second)) ** 0.5
    return 2 * math.ceil((float(spread) / (second - first)) ** 2)


class Looks:
    """Keeps when something was first shown."""

    def __init__(self, experiments: int, answers: int) -> None:
        self.better, self.worse = (np.full(experiments, answers + 1) for _ in range(2))
        self.answers = answers

    def look(self, answer: int, value: Counts, half: Counts, enough: NDArray[np.bool_]) -> None:
        """Look at differences [r] after an `answer` (from 1); nothing is shown where there is not `enough`."""
        self.better[enough & (value > half) & (self.better > self.answers)] = answer
        self.worse[enough & (value < -half) & (self.worse > self.answers)] = answer

    @property
    def shown(self) -> Shown:
        return Shown(self.better, self.worse, self.answers)


def by_client(
    seed: int,
    accuracies: tuple[float, float],
    answers: int,
    *,
    experiments: int = 2000,
    share: float = 0.5,
    clients: int | None = None,
    concentration: float = 1.0,
    as_clients: bool = True,
    bound: Callable[[Counts, Counts], Counts] = half_width,
) -> Shown:
    """Experiments on accuracy. Each answer comes from one of some `clients` (none: each from a new one).

    A client's own accuracy has a beta distribution around its arm's, the wider the smaller `concentration`, and some
    clients ask more often than others. With `as_clients` false, answers are taken for independent, which they are not.
    `bound` gives half the width of an interval, of a variance and a number of clients.
    """
    random = np.random.default_rng(seed)
    number = answers if clients is None else clients
    if clients is None:
        order = np.arange(answers)
    else:
        often = random.lognormal(sigma=1, size=number)
        order = random.choice(number, answers, p=often / often.sum())
    arms = (random.random((experiments, number)) < share).astype(np.int8)  # 1: the candidate
    own = np.take(accuracies, arms).astype(np.float32)
    if clients is not None:
        own = random.beta(own * concentration, (1 - own) * concentration).astype(np.float32)
    rows, units = np.arange(experiments), np.zeros((2, experiments))
    total, squares = np.zeros((2, experiments)), np.zeros((2, experiments))
    right, asked = np.zeros((experiments, number), np.float32), np.zeros(number)
    looks = Looks(experiments, answers)
    for answer, client in enumerate(order, 1):
        arm, is_right = arms[:, client], (random.random(experiments) < own[:, client]).astype(np.float64)
        before, new = asked[client], not as_clients or not asked[client]
        asked[client] += 1
        old_mean = 0.0 if new else right[:, client] / before
        right[:, client] += is_right
        mean = right[:, client] / asked[client] if as_clients else is_right
        units[arm, rows] += new
        total[arm, rows] += mean - old_mean
        squares[arm, rows] += mean**2 - old_mean**2
        if (least := units.min(0)).max() >= LEAST_CLIENTS:
            n = np.maximum(units, 1)
            means = total / n
            variance = (squares / n - means**2) / n + EXTRA * ((1 - means) ** 2 + means**2) / n**2
            half = bound(variance.sum(0), 2 / (1 / n).sum(0))
            looks.look(answer, means[1] - means[0], half, least >= LEAST_CLIENTS)
    return looks.shown


def by_class(
    seed: int,
    confusions: tuple[Counts, Counts],
    metric: str,
    answers: int,
    *,
    experiments: int = 2000,
    share: float = 0.5,
    every: int = 10,
    alpha: float = ALPHA,
) -> Shown:
    """Experiments on any metric, each answer from a new client, looked at after `every` so many answers.

    `confusions` are the two arms' true shares [7, 7], the reference's first.
    """
    random = np.random.default_rng(seed)
    counts, size = np.zeros((experiments, 2, 49)), confusions[0].size
    limits = np.stack([np.cumsum(matrix.ravel()) for matrix in confusions])
    looks = Looks(experiments, answers)
    for answer in range(every, answers + 1, every):
        arms = (random.random((experiments, every)) < share).astype(np.int8)
        cells = (random.random((experiments, every, 1)) > limits[arms]).sum(2).clip(max=size - 1)
        np.add.at(counts, (np.arange(experiments)[:, None], arms, cells), 1)
        tables = counts.reshape(experiments, 2, 7, 7)
        enough = counts.sum(2).min(1) >= LEAST_CLIENTS
        if metric in BY_CLASS:
            enough &= tables.sum(3).min((1, 2)) >= LEAST_OF_CLASS
        if enough.any():
            value, half = differences(tables[enough], metric, alpha)
            all_values, all_halves = np.zeros(experiments), np.ones(experiments)
            all_values[enough], all_halves[enough] = value, half
            looks.look(answer, all_values, all_halves, enough)
    return looks.shown


def paired(seed: int, shares: Sequence[float], answers: int, *, experiments: int = 2000) -> Shown:
    """Experiments on a shadow's accuracy, each answer from a new client.

    `shares`: how often only the shadow is right, only the seen version, and both.
    """
    random = np.random.default_rng(seed)
    looks, total, squares = Looks(experiments, answers), np.zeros(experiments), np.zeros(experiments)
    ours, theirs, both = shares
    rights = np.zeros((2, experiments))
    for n in range(1, answers + 1):
        drawn = random.random(experiments)
        only, other = drawn < ours, (drawn >= ours) & (drawn < ours + theirs)
        either = (drawn >= ours + theirs) & (drawn < ours + theirs + both)
        rights += np.stack([only | either, other | either])
        total += only.astype(int) - other
        squares += only | other
        mean, means = total / n, rights / n
        extra = EXTRA * ((1 - means) ** 2 + means**2).sum(0) / n**2
        half = half_width((squares / n - mean**2) / n + extra, n)
        looks.look(n, mean, half, np.full(experiments, n >= LEAST_CLIENTS))
    return looks.shown


def differences(tables: Counts, metric: str, alpha: float) -> tuple[Counts, Counts]:
    """Differences [r], and half the widths of their intervals, of counts [r, 2, 7, 7]."""
    n = tables.sum((2, 3))
    means = tables / n[..., None, None]
    values, gradient = METRICS[metric](means)
    center = (gradient * means).sum((2, 3))
    variance = (means * (gradient - center[..., None, None]) ** 2).sum((2, 3)) / n
    shares = means.sum(3)
    right, size = np.eye(7) * shares[..., None], means.shape[-1]
    wrong = shares[..., None] * (1 - np.eye(size)) / (size - 1)
    for made_up in (right, wrong):
        variance = variance + EXTRA * ((gradient * made_up).sum((2, 3)) - center) ** 2 / n**2
    return values[:, 1] - values[:, 0], half_width(variance.sum(1), 2 / (1 / n).sum(1), alpha)
