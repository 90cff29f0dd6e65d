"""Malignant (mel, bcc, akiec) against benign: areas under the ROC curve, and operating points chosen on validation."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import roc_auc_score, roc_curve

from lesions.labels import CLASSES
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Resamples
from zoo.metrics.challenge import auc_above
from zoo.metrics.scores import Interval, Predictions

MALIGNANT = ("akiec", "bcc", "mel")
"""As in ISIC's tables; akiec are also carcinomas in situ and keratoses that may become them."""
TARGETS = (0.90, 0.95)
"""The sensitivities on validation that thresholds are chosen for."""
LEAST_SENSITIVITY = 0.8
"""From which on the partial area is taken."""


class OperatingPoint(BaseModel):
    """What a threshold gives."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    """An image whose probability of malignancy is this or more counts as malignant."""
    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval


class MalignancyScore(BaseModel):
    """Scores of the sum of the malignant classes' probabilities."""

    model_config = ConfigDict(frozen=True)

    auc: float
    auc_interval: Interval
    partial_auc: float
    """Between the ROC curve and the line of 80 % sensitivity, 0 to 0.2, as in the ISIC 2024 challenge."""
    partial_auc_interval: Interval
    points: dict[str, OperatingPoint]
    """By the sensitivity that the threshold was chosen for on validation, `0.90` or `0.95`."""


def probability(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of malignancy [n], from those of the classes [n, 7]."""
    columns = [CLASSES.index(name) for name in MALIGNANT]
    return np.asarray(probabilities[:, columns].astype(np.float64).sum(1))


def truth(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether lesions of the classes `labels` [n] are malignant [n]."""
    return np.isin(labels, [CLASSES.index(name) for name in MALIGNANT])


def thresholds(valid: Predictions) -> dict[str, float]:
    """The highest threshold that has each of `TARGETS` as its sensitivity, or more, on validation images."""
    malignant = np.sort(probability(valid.probabilities)[truth(valid.labels)])
    return {f"{target:.2f}": float(malignant[int((1 - target) * len(malignant) + 1e-9)]) for target in TARGETS}


def score(
    predictions: Predictions, thresholds: dict[str, float], resamples: Resamples | None = None
) -> MalignancyScore | None:
    """The scores of `predictions`; none where all images are malignant, or none is.

    `resamples` are those of its labels and lesions, new ones if not given.
    """
    malignant, value = truth(predictions.labels), probability(predictions.probabilities)
    if malignant.all() or not malignant.any():
        return None
    resamples = resamples or Resamples(predictions.labels, predictions.lesions)
    curves = resamples.curves(malignant, value)
    above = auc_above(malignant, value, LEAST_SENSITIVITY)
    return MalignancyScore(
        auc=float(roc_auc_score(malignant, value)),
        auc_interval=bootstrap.interval(curves.areas()),
        partial_auc=above - LEAST_SENSITIVITY * (1 - _false_positives(malignant, value, LEAST_SENSITIVITY)),
        partial_auc_interval=bootstrap.interval(curves.areas_above(LEAST_SENSITIVITY)),
        points={name: _point(malignant, value, threshold, resamples) for name, threshold in thresholds.items()},
    )


def _false_positives(malignant: NDArray[np.bool_], value: NDArray[np.float64], sensitivity: float) -> float:
    """The share of benign images at which the ROC curve reaches `sensitivity`."""
    false_positives, sensitivities, _ = roc_curve(malignant, value, drop_intermediate=False)
    first = int(np.searchsorted(sensitivities, sensitivity))
    return float(np.interp(sensitivity, sensitivities[first - 1 : first + 1], false_positives[first - 1 : first + 1]))


def _point(
    malignant: NDArray[np.bool_], value: NDArray[np.float64], threshold: float, resamples: Resamples
) -> OperatingPoint:
    found = value >= threshold
    # Each mean is of the images that are malignant, or benign: shares of two means over all.
    columns = np.column_stack([found & malignant, malignant, ~found & ~malignant, ~malignant]).astype(np.float64)
    hits, malignant_share, passes, benign_share = resamples.means(columns).T
    return OperatingPoint(
        threshold=threshold,
        sensitivity=float(found[malignant].mean()),
        sensitivity_interval=bootstrap.interval(hits / malignant_share),
        specificity=float((~found)[~malignant].mean()),
        specificity_interval=bootstrap.interval(passes / benign_share),
    )
