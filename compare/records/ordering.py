"""Does the thesis's order of its experiments hold? Rank correlations, and each pair of entries."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, spearmanr

from compare.records.worth import LEVEL
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate

LEAST = 4
"""Entries below which a rank correlation says nothing."""


class Correlation(NamedTuple):
    """A rank correlation, -1 to 1, and its 95 % interval by bootstrap over lesions."""

    value: float
    interval: tuple[float, float]


class Pair(NamedTuple):
    """Two entries, of which the thesis has the `higher` above the `lower`, and how much it is above here."""

    higher: str
    lower: str
    found: Difference
    p_holm: float

    @property
    def shown(self) -> bool:
        """Whether this test set can tell the two apart."""
        return self.p_holm < LEVEL


class Ordering(NamedTuple):
    """The thesis's order of some entries against ours."""

    entries: list[str]
    spearman: Correlation
    p: float
    """Two-sided: how often an order drawn by lot has as strong a Spearman's correlation with the thesis's."""
    kendall: Correlation
    """Tau-b, which allows for the thesis's ties."""
    pairs: list[Pair]
    """Those to which the thesis gives different figures, Holm-corrected as one question."""


def ordering(thesis: Mapping[str, float], ours: Mapping[str, Estimate]) -> Ordering | None:
    """Compare the macro F1 that the `thesis` gives with `ours`, paired, of the entries in both.

    None where these are fewer than four, or where one side has no order.
    """
    entries = [name for name in thesis if name in ours]
    theirs = np.array([thesis[name] for name in entries])
    mine = np.array([ours[name].value for name in entries])
    if len(entries) < LEAST or len(set(theirs)) == 1 or len(set(mine)) == 1:
        return None
    # [resamples, entries]; fewer than for p values, since each is ranked anew.
    resampled = np.stack([ours[name].resampled[: bootstrap.RESAMPLES] for name in entries], axis=1)
    resampled = resampled[resampled.std(1) > 0]

    def correlation(statistic: Any) -> Correlation:
        values = np.array([statistic(theirs, row).statistic for row in resampled])
        return Correlation(float(statistic(theirs, mine).statistic), bootstrap.interval(values))

    pairs = _pairs(thesis, ours, entries)
    return Ordering(entries, correlation(spearmanr), _by_lot(theirs, mine), correlation(kendalltau), pairs)


def _by_lot(theirs: NDArray[np.float64], mine: NDArray[np.float64]) -> float:
    """The p value of a permutation test of Spearman's correlation of two scores [entries]."""
    random = np.random.default_rng(0)
    one, other = (rankdata(scores) - (len(scores) + 1) / 2 for scores in (theirs, mine))
    lots = random.permuted(np.tile(other, (bootstrap.PAIRED_RESAMPLES, 1)), axis=1)
    as_strong = np.abs(lots @ one) >= abs(other @ one) - 1e-9
    return float((as_strong.sum() + 1) / (len(lots) + 1))


def _pairs(thesis: Mapping[str, float], ours: Mapping[str, Estimate], entries: list[str]) -> list[Pair]:
    apart = [
        (one, other) if thesis[one] > thesis[other] else (other, one)
        for one, other in combinations(entries, 2)
        if thesis[one] != thesis[other]
    ]
    found = [bootstrap.paired_difference(ours[higher], ours[lower]) for higher, lower in apart]
    corrected = bootstrap.holm([one.p for one in found])
    return [Pair(higher, lower, one, p) for (higher, lower), one, p in zip(apart, found, corrected, strict=True)]
