"""What a classifier is worth: scikit-learn's and torchmetrics' scores, and intervals by bootstrap over lesions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from lesions.labels import CLASSES
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Resamples

BINS = 15
"""Of equal width, for the calibration error."""

SPECIFICITY = 0.95
"""At which melanoma's sensitivity is given."""

QUALITY = {
    "kid": "KID, mean of classes",
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
"""What is measured of generators (`gan.quality.Quality`), in words."""


Interval = tuple[float, float]
"""95 %, by bootstrap over lesions, stratified by class."""


class ClassScore(BaseModel):
    """One class against the rest; a score without any case (0 / 0) is 0, as in scikit-learn."""

    model_config = ConfigDict(frozen=True)

    precision: float
    recall: float
    f1: float
    f1_interval: Interval
    auc: float | None
    """Area under the ROC curve; none where all images have the class, or none has."""
    auc_interval: Interval | None
    ece: float
    """Expected calibration error of the class's probability."""
    ece_interval: Interval
    support: int


class Scores(BaseModel):
    """Scores of n images. Means over classes are over those that the images have: all seven, in a study's split."""

    model_config = ConfigDict(frozen=True)

    images: int
    lesions: int
    macro_f1: float
    """The mean of the classes' F1: the headline."""
    macro_f1_interval: Interval
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    """The mean of the classes' recall."""
    balanced_accuracy_interval: Interval
    macro_auc: float | None
    """The mean of the classes' areas under the ROC curve, each class against the rest."""
    macro_auc_interval: Interval | None
    ece: float
    """Expected calibration error of the predicted class's probability (Guo et al., ICML 2017), 15 bins."""
    ece_interval: Interval
    """Reflected: see `zoo.metrics.bootstrap.reflected_interval`."""
    brier: float
    """The mean squared distance of the probabilities from the truth, summed over classes: 0 to 2 (Brier 1950)."""
    brier_interval: Interval
    nll: float
    """The mean negative log-likelihood, natural logarithm."""
    nll_interval: Interval
    melanoma_sensitivity: float | None
    """The highest at a specificity of at least 95 %, on these images' own ROC curve; none without melanoma."""
    melanoma_sensitivity_interval: Interval | None
    classes: dict[str, ClassScore]
    confusion: list[list[int]]
    """Counts: rows are the true class, columns the predicted one."""


class Predictions(NamedTuple):
    """What a model said of n images."""

    labels: NDArray[np.int64]
    """True classes [n]."""
    probabilities: NDArray[np.floating]
    """[n, 7], rows adding to 1."""
    lesions: Sequence[str]
    """Lesion names, n of them."""


class Reliability(BaseModel):
    """How far probabilities can be believed, and what the decisions by them are worth; each as in `Scores`."""

    model_config = ConfigDict(frozen=True)

    macro_f1: float
    ece: float
    nll: float


def reliability(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Reliability:
    """The few scores of `probabilities` [n, 7] that calibration is judged by; `truth` are the classes [n]."""
    chances = probabilities.astype(np.float64)
    chances /= chances.sum(1, keepdims=True)
    return Reliability(
        macro_f1=float(f1_score(truth, chances.argmax(1), labels=np.unique(truth), average="macro", zero_division=0)),
        ece=_calibration_errors(truth, chances)[0],
        nll=float(log_loss(truth, chances, labels=range(len(CLASSES)))),
    )


def score(predictions: Predictions, resamples: Resamples | None = None) -> Scores:
    """Every score of `predictions`; `resamples` are those of its labels and lesions, drawn here if not given."""
    truth, said = predictions.labels, predictions.probabilities.argmax(1)
    drawn = resamples or Resamples(truth, predictions.lesions)
    chances = predictions.probabilities.astype(np.float64)
    chances /= chances.sum(1, keepdims=True)  # float32 adds to 1 within its own precision only
    numbers = list(range(len(CLASSES)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=numbers, zero_division=0)
    present = support > 0
    resampled = drawn.confusions(said)
    by_class = bootstrap.class_f1(resampled)
    aucs = [_auc(truth == k, chances[:, k]) for k in numbers]
    known = [auc for auc in aucs if auc is not None]
    curves = {k: drawn.curves(truth == k, chances[:, k]) for k in numbers if aucs[k] is not None}
    areas = {k: curve.areas() for k, curve in curves.items()}
    mel = CLASSES.index("mel")
    ece, eces = _calibration_errors(truth, chances)
    brier, nll, *misses = drawn.means(_losses(truth, said, chances)).T
    uncalibrated = np.abs(misses).reshape(1 + len(CLASSES), -1, len(brier)).sum(1)
    return Scores(
        images=len(truth),
        lesions=len(set(predictions.lesions)),
        macro_f1=float(f1[present].mean()),
        macro_f1_interval=bootstrap.interval(bootstrap.macro_f1(resampled)),
        accuracy=float(accuracy_score(truth, said)),
        accuracy_interval=bootstrap.interval(bootstrap.accuracy(resampled)),
        balanced_accuracy=float(recall[present].mean()),
        balanced_accuracy_interval=bootstrap.interval(bootstrap.balanced_accuracy(resampled)),
        macro_auc=float(np.mean(known)) if known else None,
        macro_auc_interval=bootstrap.interval(np.mean(list(areas.values()), axis=0)) if areas else None,
        ece=ece,
        ece_interval=bootstrap.reflected_interval(ece, uncalibrated[0]),
        brier=float(brier_score_loss(truth, chances, labels=numbers, scale_by_half=False)),
        brier_interval=bootstrap.interval(brier),
        nll=float(log_loss(truth, chances, labels=numbers)),
        nll_interval=bootstrap.interval(nll),
        melanoma_sensitivity=_sensitivity(truth == mel, chances[:, mel]),
        melanoma_sensitivity_interval=bootstrap.interval(curves[mel].sensitivities(SPECIFICITY))
        if mel in curves
        else None,
        classes={
            name: ClassScore(
                precision=precision[k],
                recall=recall[k],
                f1=f1[k],
                f1_interval=bootstrap.interval(by_class[:, k]),
                auc=aucs[k],
                auc_interval=bootstrap.interval(areas[k]) if k in areas else None,
                ece=eces[k],
                ece_interval=bootstrap.reflected_interval(eces[k], uncalibrated[1 + k]),
                support=support[k],
            )
            for k, name in enumerate(CLASSES)
        },
        confusion=confusion_matrix(truth, said, labels=numbers).tolist(),
    )


def _auc(positive: NDArray[np.bool_], chance: NDArray[np.float64]) -> float | None:
    return None if positive.all() or not positive.any() else float(roc_auc_score(positive, chance))


def _sensitivity(positive: NDArray[np.bool_], chance: NDArray[np.float64]) -> float | None:
    if positive.all() or not positive.any():
        return None
    false_positives, sensitivity, _ = roc_curve(positive, chance, drop_intermediate=False)
    return float(sensitivity[false_positives <= 1 - SPECIFICITY + 1e-12].max())


def _losses(truth: NDArray[np.int64], said: NDArray[np.int64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each image costs, [n, 2 + 8 (BINS + 1)]: squared distance, negative log-likelihood, and misses by bins.

    A miss is how much more was promised than was so: of the predicted class, and of each class against the rest. It
    stands in the column of its probability's bin (the last is for 1 itself, as in torchmetrics), else there is 0.
    """
    rows = np.arange(len(truth))
    true = np.eye(len(CLASSES))[truth]
    distance = ((chances - true) ** 2).sum(1)
    likelihood = np.clip(chances[rows, truth], np.finfo(np.float64).eps, 1)  # as scikit-learn does
    promised = np.column_stack([chances[rows, said], chances])
    miss = promised - np.column_stack([said == truth, true])
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), promised, side="right") - 1
    by_bin = np.zeros((*promised.shape, BINS + 1))
    by_bin[rows[:, None], np.arange(promised.shape[1]), bins] = miss
    return np.column_stack([distance, -np.log(likelihood), by_bin.reshape(len(truth), -1)])


def _calibration_errors(truth: NDArray[np.int64], chances: NDArray[np.float64]) -> tuple[float, list[float]]:
    """Of the predicted class, and of each class against the rest."""
    import torch  # here: both take seconds, which whoever reads a `Predictions` alone need not spend
    from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

    told, true = torch.from_numpy(chances), torch.from_numpy(truth)
    overall = multiclass_calibration_error(told, true, num_classes=len(CLASSES), n_bins=BINS)
    each = [
        binary_calibration_error(told[:, k].contiguous(), (true == k).long(), n_bins=BINS) for k in range(len(CLASSES))
    ]
    return float(overall), [float(error) for error in each]
