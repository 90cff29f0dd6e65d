"""Temperature scaling, the weights of an ensemble, and what a prior correction would do.

A predictor divides logits by the temperature, which changes no label. The prior correction does change labels: it is
scored and reported, never applied. Both are fitted on validation; the test split is only scored.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from lesions.labels import CLASSES
from zoo.metrics.scores import Reliability, reliability

COLDEST, HOTTEST = 0.2, 20.0
"""The range of temperatures: for a network that is never wrong on validation there is no best one."""
LEAST = 1e-7
"""Probabilities below this count as this where a pool is fitted: tables have seven decimals."""


class Logits(NamedTuple):
    """A network's output for the n images of one part of the split."""

    values: NDArray[np.floating]
    """Before the softmax, [n, 7]."""
    labels: NDArray[np.int64]
    """True classes [n]."""


class PriorCorrected(BaseModel):
    """Scores of p'(k) ~ p(k) natural(k) / seen(k) (Saerens et al., Neural Computation 14, 21, 2002).

    The logarithm of natural / seen is added to the logits, which are then divided by a temperature of their own.
    """

    model_config = ConfigDict(frozen=True)

    seen: dict[str, float]
    """The share of each class in what training saw: images as drawn, times their class's weight in the loss."""
    natural: dict[str, float]
    """Its share in the training split."""
    temperature: float
    valid: Reliability
    test: Reliability


class Calibration(BaseModel):
    """How a classifier's probabilities are calibrated, and their scores before."""

    model_config = ConfigDict(frozen=True)

    temperature: float
    uncalibrated: dict[str, Reliability]
    """Of `valid` and `test`, at temperature 1."""
    prior_corrected: PriorCorrected | None
    """None where training saw the natural shares, or a class was never drawn."""


def calibrate(valid: Logits, test: Logits, natural: NDArray[np.float64], seen: NDArray[np.float64]) -> Calibration:
    """Fit on `valid`, and score both parts. `natural` and `seen` are shares of the classes, [7], adding to 1."""
    return Calibration(
        temperature=temperature(valid),
        uncalibrated={"valid": _reliability(valid), "test": _reliability(test)},
        prior_corrected=None
        if np.allclose(seen, natural) or min(seen.min(), natural.min()) <= 0
        else _corrected(valid, test, natural, seen),
    )


def temperature(logits: Logits) -> float:
    """The temperature (`COLDEST` to `HOTTEST`, four decimals) with the least negative log-likelihood.

    Guo et al., ICML 2017, section 4.2.
    """
    rows = np.arange(len(logits.labels))
    values = logits.values.astype(np.float64)

    def nll(logarithm: float) -> float:
        return -float(log_softmax(values / math.exp(logarithm), axis=1)[rows, logits.labels].mean())

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    return round(math.exp(minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x), 4)


def coefficients(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The factors [members], 0 or more, four decimals, that the logarithms of several models' predictions have.

    Of the logarithms of `probabilities` [members, n, 7], the sum with these factors, normalized, has the least negative
    log-likelihood of the `labels` [n]: a logarithmic opinion pool (Genest & Zidek 1986) whose weights add up to 1,
    divided by a temperature. The problem is convex.
    """
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    rows = np.arange(len(labels))

    def nll(factors: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = log_softmax(np.tensordot(factors, logarithms, 1), axis=1)
        gradient = (np.exp(values) * logarithms).sum(2) - logarithms[:, rows, labels]
        return -float(values[rows, labels].mean()), gradient.mean(1)

    start = np.full(len(logarithms), 1 / len(logarithms))
    found = minimize(nll, start, jac=True, bounds=[(0, 1 / COLDEST)] * len(start), method="L-BFGS-B")
    return np.asarray(found.x.round(4), dtype=np.float64)


def class_shares(labels: NDArray[np.int64], weights: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """The share of each class in `labels` [n], an image counting by its class's weight of `weights` [7]; [7]."""
    counts = np.bincount(labels, None if weights is None else weights[labels], minlength=len(CLASSES))
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def without_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The probabilities [n, 7] at temperature 1, from those at `temperature`."""
    powers = (probabilities / probabilities.max(1, keepdims=True)) ** temperature
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _corrected(valid: Logits, test: Logits, natural: NDArray[np.float64], seen: NDArray[np.float64]) -> PriorCorrected:
    shift = np.log(natural) - np.log(seen)
    valid, test = (Logits(part.values + shift, part.labels) for part in (valid, test))
    own = temperature(valid)
    return PriorCorrected(
        seen=_named(seen),
        natural=_named(natural),
        temperature=own,
        valid=_reliability(valid, own),
        test=_reliability(test, own),
    )


def _reliability(logits: Logits, temperature: float = 1.0) -> Reliability:
    return reliability(logits.labels, softmax(logits.values.astype(np.float64) / temperature, axis=1))


def _named(shares: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(share), 6) for name, share in zip(CLASSES, shares, strict=True)}
