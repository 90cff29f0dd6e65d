"""Bootstrap over lesions: intervals, paired differences, and Holm's correction."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from lesions.labels import CLASSES

RESAMPLES = 2000
"""Bootstrap resamples behind every interval."""
PAIRED_RESAMPLES = 10_000
"""Behind every p value: the smallest there can be is 0.0002."""
SIGNIFICANCE_LEVEL = 0.05
"""A difference with a p value below this, after Holm's correction, is called significant."""


class Resamples:
    """Resamples of the same images, drawn once: whatever is computed from one object is paired.

    Whole lesions are drawn with replacement, class by class: images of one lesion are no independent evidence, so
    they come and go together. A lesion belongs to the class of its first image.
    """

    def __init__(
        self, truth: NDArray[np.int64], lesions: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
    ) -> None:
        """`truth` are the class numbers [n] of n images, `lesions` the names of their lesions."""
        random = np.random.default_rng(seed)
        numbers = {lesion: number for number, lesion in enumerate(dict.fromkeys(lesions))}
        self.truth, self._lesions = truth, np.array([numbers[lesion] for lesion in lesions])
        self._resamples = resamples
        labels = truth[np.unique(self._lesions, return_index=True)[1]]
        strata = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        # For each class its lesions [m], and how often each is in each resample [resamples, m].
        self._draws = [
            (rows, random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples).astype(np.float32))
            for rows in strata
        ]

    def confusions(self, predicted: NDArray[np.int64]) -> NDArray[np.float64]:
        """The confusion matrix of each resample, [resamples, 7, 7], of the classes `predicted` [n]."""
        width = len(CLASSES)
        # Each lesion's share in the confusion matrix, flattened: [lesions, 49].
        cells = np.zeros((self._lesions.max() + 1, width**2), dtype=np.float32)  # whole numbers: exact
        np.add.at(cells, (self._lesions, self.truth * width + predicted), 1)
        confusions = np.zeros((self._resamples, width**2))
        for stratum, times in self._draws:
            confusions += times @ cells[stratum]
        return confusions.reshape(-1, width, width)

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The mean over the images of each resample, [resamples, m], of `values` [n, m]."""
        columns = np.column_stack([np.ones(len(values)), values])
        by_lesion = np.zeros((len(self._times), columns.shape[1]))
        np.add.at(by_lesion, self._lesions, columns)
        sums = self._times.T @ by_lesion
        return np.asarray(sums[:, 1:] / sums[:, :1])

    def curves(self, positive: NDArray[np.bool_], probability: NDArray[np.floating]) -> "Curves":
        """The ROC curve of each resample, of images that are `positive` or not [n], by their `probability` [n]."""
        falling = np.flatnonzero(positive)[np.argsort(-probability[positive], kind="stable")]
        rising = np.flatnonzero(~positive)[np.argsort(probability[~positive], kind="stable")]
        below = np.zeros((len(rising) + 1, self._resamples), dtype=np.float32)  # whole numbers: exact
        np.cumsum(self._times[self._lesions[rising]], axis=0, out=below[1:])
        lower, upper = (np.searchsorted(probability[rising], probability[falling], side) for side in ("left", "right"))
        return Curves(self._times[self._lesions[falling]], below[lower], below[upper], below[-1])

    @cached_property
    def _times(self) -> NDArray[np.float32]:
        """How often each lesion is in each resample, [lesions, resamples]."""
        times = np.empty((self._lesions.max() + 1, self._resamples), dtype=np.float32)
        for stratum, counts in self._draws:
            times[stratum] = counts.T
        return times


class Curves(NamedTuple):
    """The ROC curve of each resample, as counts; p positive images, the likeliest first."""

    times: NDArray[np.float32]
    """How often each positive image is in a resample, [p, resamples]."""
    lower: NDArray[np.float32]
    """How many negative images of it are less likely than each positive one, [p, resamples]."""
    upper: NDArray[np.float32]
    """As `lower`, with those that are as likely."""
    negative: NDArray[np.float32]
    """How many there are, [resamples]."""

    def areas(self) -> NDArray[np.float64]:
        """Under the curves, [resamples]: the share of pairs in which the positive image is the likelier one."""
        won = np.einsum("pr,pr->r", self.times, self.lower + self.upper, dtype=np.float64)
        return _share(won, 2 * self.times.sum(0, dtype=np.float64) * self.negative)

    def areas_above(self, sensitivity: float) -> NDArray[np.float64]:
        """Between the curves and the line of a `sensitivity` (0 to 1), [resamples]: 0 to 1 - `sensitivity`."""
        ends = _share(self.times.cumsum(0, dtype=np.float64), self.times.sum(0, dtype=np.float64))
        heights = np.diff(np.maximum(ends, sensitivity), axis=0, prepend=sensitivity)
        won = (self.lower + self.upper).astype(np.float64) / 2
        return _share((heights * won).sum(0), self.negative.astype(np.float64))

    def sensitivities(self, specificity: float) -> NDArray[np.float64]:
        """The highest of each curve at a specificity of at least `specificity`, [resamples]."""
        allowed = self.lower >= (specificity - 1e-6) * self.negative
        return _share((self.times.cumsum(0) * allowed).max(0), self.times.sum(0))


def _share(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """NaN where there is nothing to have a share of."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def class_f1(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of each class, [..., 7], of confusion matrices [..., 7, 7]; 0 / 0 is 0."""
    right = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
    either = confusions.sum(-2) + confusions.sum(-1)
    return np.asarray(np.divide(2 * right, either, out=np.zeros_like(right), where=either > 0))


def class_recall(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """Recall of each class, [..., 7], of confusion matrices [..., 7, 7]; NaN of a class that no image has."""
    right, all_ = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64), confusions.sum(-1)
    return np.asarray(np.divide(right, all_, out=np.full_like(right, np.nan), where=all_ > 0))


def macro_f1(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """The mean F1, [resamples], of the classes that the images of each of [resamples, 7, 7] have."""
    present = confusions.sum(2) > 0
    return np.asarray(np.mean(class_f1(confusions), axis=1, where=present))


def accuracy(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of right answers, [resamples], of confusion matrices [resamples, 7, 7]."""
    return np.asarray(np.trace(confusions, axis1=1, axis2=2) / confusions.sum((1, 2)))


def balanced_accuracy(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean recall, [resamples], of the classes that the images of [resamples, 7, 7] have."""
    return np.asarray(np.nanmean(class_recall(confusions), axis=1))


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of a score's resamples [resamples]; those that lack what is scored are NaN, and left out."""
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def reflected_interval(value: float, resampled: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of an error that is never negative, and that chance alone makes larger: `value` in the images.

    A calibration error is such a one: resamples exceed `value` as `value` itself exceeds the truth, so their quantiles
    are reflected at it (the basic bootstrap; Davison & Hinkley 1997, section 5.2). The middle 95 % of the resamples
    would leave out the truth wherever it is small.
    """
    low, high = interval(resampled)
    return max(0.0, 2 * value - high), max(0.0, 2 * value - low)


class Estimate(NamedTuple):
    """A score of one set of answers, macro F1 by default; two that come from the same `Resamples` are paired."""

    value: float
    resampled: NDArray[np.float64]
    """[resamples]."""


class Difference(NamedTuple):
    """A score of one set of answers, macro F1 by default, less that of another, on the same images."""

    difference: float
    interval: tuple[float, float]
    """95 %."""
    p: float
    """Two-sided: twice the share of resamples on the other side of 0, and never 0."""
    p_holm: float
    """`p` after Holm's correction for all differences of the same question."""

    @property
    def is_significant(self) -> bool:
        """Whether this test set tells the two apart."""
        return self.p_holm < SIGNIFICANCE_LEVEL


Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A score [resamples] of confusion matrices [resamples, 7, 7], such as `macro_f1`."""


def estimate(resamples: Resamples, predicted: NDArray[np.int64], score: Score = macro_f1) -> Estimate:
    """The `score` of the classes `predicted` [n] of `resamples`."""
    return estimates(resamples, predicted, {"": score})[""]


def estimates(resamples: Resamples, predicted: NDArray[np.int64], scores: Mapping[str, Score]) -> dict[str, Estimate]:
    """Each of several `scores` of the classes `predicted` [n] of `resamples`, which are gone through once."""
    observed = confusion_matrix(resamples.truth, predicted, labels=range(len(CLASSES))).astype(np.float64)
    resampled = resamples.confusions(predicted)
    return {name: Estimate(float(score(observed[None])[0]), score(resampled)) for name, score in scores.items()}


def paired_difference(mine: Estimate, other: Estimate) -> Difference:
    """How much higher `mine` is than the `other`, both from the same `Resamples`: a question of its own.

    The p value speaks of these two sets of answers, and so of two checkpoints; not of how they were trained.
    """
    resampled = mine.resampled - other.resampled
    beyond = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(resampled) + 1))
    return Difference(mine.value - other.value, interval(resampled), p, p)


def paired_differences(pairs: Sequence[tuple[Estimate, Estimate]]) -> list[Difference]:
    """The `paired_difference` of each pair; their p values are Holm-corrected as those of one question."""
    differences = [paired_difference(mine, other) for mine, other in pairs]
    corrected = holm([difference.p for difference in differences])
    return [difference._replace(p_holm=p) for difference, p in zip(differences, corrected, strict=True)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of the p values of one question (Scand J Stat 6, 65, 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p)[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return [float(value) for value in adjusted]
