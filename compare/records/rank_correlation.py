"""Does the thesis's order of its experiments hold? Rank correlations, and each pair of entries."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, spearmanr

from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate

MIN_ENTRIES = 4
"""A rank correlation of fewer entries says nothing."""


class Correlation(NamedTuple):
    """A rank correlation, -1 to 1, and its 95 % interval by bootstrap over lesions."""

    value: float
    interval: tuple[float, float]


class Pair(NamedTuple):
    """Two entries, the one with the `higher` score in the thesis first, and by how much it is higher here."""

    higher: str
    lower: str
    difference: Difference


class RankComparison(NamedTuple):
    """The thesis's order of some entries against ours."""

    entries: list[str]
    spearman: Correlation
    p: float
    """Of a two-sided permutation test of Spearman's correlation."""
    kendall: Correlation
    """Tau-b, which allows for the thesis's ties."""
    pairs: list[Pair]
    """Those to which the thesis gives different figures, Holm-corrected as one question."""

    @property
    def verdict(self) -> str:
        """The verb between our order and the thesis's."""
        low, high = self.spearman.interval
        if self.p >= bootstrap.SIGNIFICANCE_LEVEL or low <= 0 <= high:
            return "is not shown to go with"
        return "goes with" if low > 0 else "goes against"


def compare_ranks(thesis: Mapping[str, float], ours: Mapping[str, Estimate]) -> RankComparison | None:
    """Compare the macro F1 that the `thesis` gives with `ours`, paired, of the entries in both.

    None where these are fewer than four, or where one side has no order.
    """
    entries = [name for name in thesis if name in ours]
    thesis_scores = np.array([thesis[name] for name in entries])
    our_scores = np.array([ours[name].value for name in entries])
    if len(entries) < MIN_ENTRIES or len(set(thesis_scores)) == 1 or len(set(our_scores)) == 1:
        return None
    # [resamples, entries]; fewer than for p values, since each is ranked anew.
    resampled = np.stack([ours[name].resampled[: bootstrap.RESAMPLES] for name in entries], axis=1)
    resampled = resampled[resampled.std(1) > 0]

    def correlation(statistic: Any) -> Correlation:
        values = np.array([statistic(thesis_scores, row).statistic for row in resampled])
        return Correlation(float(statistic(thesis_scores, our_scores).statistic), bootstrap.interval(values))

    names = [
        (first, second) if thesis[first] > thesis[second] else (second, first)
        for first, second in combinations(entries, 2)
        if thesis[first] != thesis[second]
    ]
    differences = bootstrap.paired_differences([(ours[higher], ours[lower]) for higher, lower in names])
    pairs = [Pair(*pair, difference) for pair, difference in zip(names, differences, strict=True)]
    p = _permutation_p(thesis_scores, our_scores)
    return RankComparison(entries, correlation(spearmanr), p, correlation(kendalltau), pairs)


def _permutation_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The p value of a permutation test of Spearman's correlation of two scores [entries]."""
    random = np.random.default_rng(0)
    ranks, second_ranks = (rankdata(scores) - (len(scores) + 1) / 2 for scores in (first, second))
    permuted = random.permuted(np.tile(second_ranks, (bootstrap.PAIRED_RESAMPLES, 1)), axis=1)
    as_strong = np.abs(permuted @ ranks) >= abs(second_ranks @ ranks) - 1e-9
    return float((as_strong.sum() + 1) / (len(permuted) + 1))
