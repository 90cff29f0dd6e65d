"""The scores of the ISIC challenge's classification tasks (isic-challenge-scoring), by class.

Sensitivity at given specificities is beside them: the challenge has none.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import auc, average_precision_score, roc_curve

from lesions.labels import CLASSES
from zoo.metrics.scores import Predictions

THRESHOLD = 0.5
"""Above this probability, the challenge takes an image for one of the class."""
SENSITIVITY = 0.8
"""From which on the area under the ROC curve is taken."""
SPECIFICITIES = (0.80, 0.95)
"""At which the sensitivity is given."""


class ChallengeScore(BaseModel):
    """One class against the rest. Of scores of the form 0 / 0, the challenge has 1."""

    model_config = ConfigDict(frozen=True)

    sensitivity: float
    """At the probability 0.5, as are the next three."""
    specificity: float
    ppv: float
    """Positive predictive value, which is precision."""
    npv: float
    """Negative predictive value."""
    average_precision: float
    auc_above_80_sensitivity: float
    """The area under the part of the ROC curve whose sensitivity is 80 % or more, down to 0: at most 1."""
    sensitivity_at_80_specificity: float
    sensitivity_at_95_specificity: float
    """The highest on these images' own ROC curve."""


IN_WORDS = {
    "auc_above_80_sensitivity": "AUC above 80 % sensitivity",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "sensitivity_at_80_specificity": "sensitivity at 80 % specificity",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity",
}
"""The scores' names."""


def means(scores: Mapping[str, ChallengeScore]) -> dict[str, float]:
    """The mean of each score over the classes of `by_class`, as the challenge has it."""
    return {name: float(np.mean([getattr(score, name) for score in scores.values()])) for name in IN_WORDS}


def by_class(predictions: Predictions) -> dict[str, ChallengeScore]:
    """The scores of each class that some of the images have, and others have not."""
    of_class = {name: predictions.labels == label for label, name in enumerate(CLASSES)}
    return {
        name: _score(true, predictions.probabilities[:, CLASSES.index(name)].astype(np.float64))
        for name, true in of_class.items()
        if 0 < true.sum() < len(true)
    }


def auc_above(true: NDArray[np.bool_], probability: NDArray[np.floating], sensitivity: float) -> float:
    """The area under the part of the ROC curve whose sensitivity is `sensitivity` (0 to 1) or more."""
    false_positives, sensitivities, _ = roc_curve(true, probability, drop_intermediate=False)
    first = int(np.searchsorted(sensitivities, sensitivity))
    start = np.interp(sensitivity, sensitivities[first - 1 : first + 1], false_positives[first - 1 : first + 1])
    return float(auc(np.r_[start, false_positives[first:]], np.r_[sensitivity, sensitivities[first:]]))


def sensitivity_at(true: NDArray[np.bool_], probability: NDArray[np.floating], specificity: float) -> float:
    """The highest sensitivity of the ROC curve at a specificity (0 to 1) of at least `specificity`."""
    false_positives, sensitivities, _ = roc_curve(true, probability, drop_intermediate=False)
    return float(sensitivities[false_positives <= 1 - specificity + 1e-12].max())


def _score(true: NDArray[np.bool_], probability: NDArray[np.float64]) -> ChallengeScore:
    predicted = probability > THRESHOLD

    def share(right: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
        return float(right[of].mean()) if of.any() else 1.0

    at_80, at_95 = (sensitivity_at(true, probability, specificity) for specificity in SPECIFICITIES)
    return ChallengeScore(
        sensitivity=share(predicted, true),
        specificity=share(~predicted, ~true),
        ppv=share(true, predicted),
        npv=share(~true, ~predicted),
        average_precision=float(average_precision_score(true, probability)),
        auc_above_80_sensitivity=auc_above(true, probability, SENSITIVITY),
        sensitivity_at_80_specificity=at_80,
        sensitivity_at_95_specificity=at_95,
    )
