"""Two samples of one quantity: how far apart they are, and whether chance explains it."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import fisher_exact, ks_2samp

BINS = 10
"""Of a continuous quantity, each with as much of validation as the next."""


class Shift(BaseModel):
    """One quantity now, against validation."""

    model_config = ConfigDict(frozen=True)

    psi: float
    """Population stability index: the sum over bins of the shares' difference times their ratio's logarithm."""
    p: float
    """Of a two-sample test. It takes answers for independent, so it is too small where a client sends many alike."""


def classes(reference: NDArray[np.int64], now: NDArray[np.int64], number: int) -> Shift:
    """The shift of class numbers (0 to `number` - 1), with Fisher's exact test of each class against the rest.

    The smallest p value counts, times the number of classes (Bonferroni). An approximation, such as the chi-squared
    test, fails where classes are rare and p values small.
    """
    table = np.stack([np.bincount(values, minlength=number) for values in (reference, now)])
    rest = table.sum(1, keepdims=True) - table
    seen = np.flatnonzero(table.sum(0))
    smallest = min(float(fisher_exact(np.stack([table[:, k], rest[:, k]])).pvalue) for k in seen)
    return Shift(psi=_psi(table), p=min(1.0, len(seen) * smallest))


def values(reference: NDArray[np.floating], now: NDArray[np.floating]) -> Shift:
    """The shift of a continuous quantity, with the test of Kolmogorov and Smirnov."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = [np.bincount(np.searchsorted(edges, one, "right"), minlength=len(edges) + 1) for one in (reference, now)]
    return Shift(psi=_psi(np.stack(bins)), p=float(ks_2samp(reference, now, method="asymp").pvalue))


def _psi(counts: NDArray[np.int64]) -> float:
    """Of counts [2, bins]; half of one more in each bin keeps it finite."""
    shares = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
