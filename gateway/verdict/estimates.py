"""Metrics of an arm, and differences between two, each with its confidence sequence at one look."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gateway.verdict.clients import Clients
from gateway.verdict.metrics import BY_CLASS, METRICS
from gateway.verdict.sequences import ALPHA, EXTRA, LEAST_CLIENTS, half_width
from lesions.labels import CLASSES

LEAST_OF_CLASS = 10
"""Clients with an answer of a class, in each arm; with fewer there are no intervals of what is a mean of classes."""


class Estimate(BaseModel):
    """A metric, or a difference, at one look."""

    model_config = ConfigDict(frozen=True)

    value: float
    interval: tuple[float, float]
    """Its 95 % confidence sequence, at this look."""
    variance: float
    clients: float
    """How many independent clients it is of: for a difference the harmonic mean of both arms'."""
    alpha: float


def missing(metric: str, arms: Sequence[Clients]) -> str:
    """What `metric` still lacks in one of the arms; empty if nothing."""
    fewest = min(len(arm) for arm in arms)
    if fewest < LEAST_CLIENTS:
        return f"{fewest} of {LEAST_CLIENTS} clients with feedback"
    if metric in BY_CLASS:
        of_class = np.min([arm.of_class for arm in arms], axis=0)
        if few := [f"{name} {n}" for name, n in zip(CLASSES, of_class, strict=True) if n < LEAST_OF_CLASS]:
            return f"clients with feedback: {', '.join(few)} of {LEAST_OF_CLASS} each"
    return ""


def estimate(arm: Clients, metric: str, alpha: float = ALPHA) -> Estimate | None:
    """A metric of one arm; none where `missing` says why."""
    return None if missing(metric, [arm]) else _estimate(metric, [(arm, 1.0)], alpha)


def difference(arm: Clients, reference: Clients, metric: str, alpha: float = ALPHA) -> Estimate | None:
    """The metric of `arm` less that of `reference`; none where `missing` says why.

    Clients of both are paired by name, those of one arm are independent of the other's: so one formula serves arms,
    shadows, and clients who changed their arm.
    """
    return None if missing(metric, [arm, reference]) else _estimate(metric, [(arm, 1.0), (reference, -1.0)], alpha)


def _estimate(metric: str, signed: Sequence[tuple[Clients, float]], alpha: float) -> Estimate:
    """The sum of a metric over arms, each with its sign. The variance is by influence functions (the delta method)."""
    value, extra = 0.0, 0.0
    names, influences = [], []
    for arm, sign in signed:
        mean = arm.mean
        of_arm, gradient = METRICS[metric](mean)
        value += sign * float(of_arm)
        center = float((gradient * mean).sum())
        names.append(arm.names)
        influences.append(sign * (np.tensordot(arm.confusions, gradient, 2) - center) * arm.weights)
        made_up = [float((gradient * matrix).sum()) - center for matrix in _right_and_wrong(mean)]
        extra += EXTRA * sum(influence**2 for influence in made_up) / arm.effective**2
    _, owners = np.unique(np.concatenate(names), return_inverse=True)
    by_client = np.bincount(owners, np.concatenate(influences))
    variance = float((by_client**2).sum()) + extra
    clients = len(signed) / sum(1 / arm.effective for arm, _ in signed)
    half = float(half_width(variance, clients, alpha))
    least = 0.0 if len(signed) == 1 else -1.0  # shares are from 0 to 1, and their differences from -1
    interval = max(value - half, least), min(value + half, 1.0)
    return Estimate(value=value, interval=interval, variance=variance, clients=clients, alpha=alpha)


def _right_and_wrong(mean: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The confusion matrices of a client with the arm's true classes that is always right, and of one always wrong."""
    shares, size = mean.sum(1), len(mean)
    wrong = shares[:, None] * (1 - np.eye(size)) / (size - 1)
    return np.diag(shares), wrong
