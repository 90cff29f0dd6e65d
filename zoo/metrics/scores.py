"""Scores of a classifier, by scikit-learn and torchmetrics, with intervals by bootstrap over lesions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    "gan_train": "GAN-train",
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
    """What a model predicted of n images."""

    labels: NDArray[np.int64]
    """True classes [n]."""
    probabilities: NDArray[np.floating]
    """[n, 7], rows adding to 1."""
    lesions: Sequence[str]
    """Lesion names, n of them."""


class Reliability(BaseModel):
    """The scores that calibration is compared by; each as in `Scores`."""

    model_config = ConfigDict(frozen=True)

    macro_f1: float
    ece: float
    nll: float


def reliability(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Reliability:
    """The `Reliability` of `probabilities` [n, 7]; `truth` are the classes [n]."""
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    return Reliability(
        macro_f1=float(f1_score(truth, exact.argmax(1), labels=np.unique(truth), average="macro", zero_division=0)),
        ece=_calibration_errors(truth, exact)[0],
        nll=float(log_loss(truth, exact, labels=range(len(CLASSES)))),
    )


def score(predictions: Predictions, resamples: Resamples | None = None) -> Scores:
    """Every score of `predictions`; `resamples` are those of its labels and lesions, new ones if not given."""
    truth, predicted = predictions.labels, predictions.probabilities.argmax(1)
    resamples = resamples or Resamples(truth, predictions.lesions)
    probabilities = predictions.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)  # float32 adds to 1 within its own precision only
    numbers, mel = list(range(len(CLASSES))), CLASSES.index("mel")
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=numbers, zero_division=0)
    present, of_mel = support > 0, (truth == mel, probabilities[:, mel])
    confusions = resamples.confusions(predicted)
    class_f1 = bootstrap.class_f1(confusions)
    with_curve = [k for k in numbers if 0 < support[k] < len(truth)]
    aucs = {k: roc_auc_score(truth == k, probabilities[:, k]) for k in with_curve}
    # One curve at a time: it holds three numbers for each image of the class and each resample.
    areas = {k: resamples.curves(truth == k, probabilities[:, k]).areas() for k in with_curve}
    ece, eces = _calibration_errors(truth, probabilities)
    brier, nll, *misses = resamples.means(_losses(truth, predicted, probabilities)).T
    errors = np.abs(misses).reshape(1 + len(CLASSES), -1, len(brier)).sum(1)
    interval, reflected = bootstrap.interval, bootstrap.reflected_interval
    overall = {
        "macro_f1": (f1[present].mean(), interval(bootstrap.macro_f1(confusions))),
        "accuracy": (accuracy_score(truth, predicted), interval(bootstrap.accuracy(confusions))),
        "balanced_accuracy": (recall[present].mean(), interval(bootstrap.balanced_accuracy(confusions))),
        "macro_auc": (np.mean(list(aucs.values())), interval(np.mean(list(areas.values()), axis=0))) if aucs else None,
        "ece": (ece, reflected(ece, errors[0])),
        "brier": (brier_score_loss(truth, probabilities, labels=numbers, scale_by_half=False), interval(brier)),
        "nll": (log_loss(truth, probabilities, labels=numbers), interval(nll)),
        "melanoma_sensitivity": (
            (_sensitivity(*of_mel), interval(resamples.curves(*of_mel).sensitivities(SPECIFICITY)))
            if mel in with_curve
            else None
        ),
    }
    by_class = {
        name: {
            "f1": (f1[k], interval(class_f1[:, k])),
            "auc": (aucs[k], interval(areas[k])) if k in aucs else None,
            "ece": (eces[k], reflected(eces[k], errors[1 + k])),
        }
        for k, name in enumerate(CLASSES)
    }
    return Scores(
        images=len(truth),
        lesions=len(set(predictions.lesions)),
        **_with_intervals(overall),
        classes={
            name: ClassScore(
                precision=precision[k], recall=recall[k], support=support[k], **_with_intervals(by_class[name])
            )
            for k, name in enumerate(CLASSES)
        },
        confusion=confusion_matrix(truth, predicted, labels=numbers).tolist(),
    )


def _with_intervals(scores: Mapping[str, tuple[float, Interval] | None]) -> dict[str, Any]:
    """Each score under its name, and its interval under `NAME_interval`; none where there is no score."""
    return {name: score and float(score[0]) for name, score in scores.items()} | {
        f"{name}_interval": score and score[1] for name, score in scores.items()
    }


def _sensitivity(positive: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    false_positives, sensitivity, _ = roc_curve(positive, probability, drop_intermediate=False)
    return float(sensitivity[false_positives <= 1 - SPECIFICITY + 1e-12].max())


def _losses(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The losses of each image, [n, 2 + 8 (BINS + 1)]: squared distance, negative log-likelihood, and misses by bins.

    A miss is a confidence less 1 if it was right, else less 0: of the predicted class, and of each class against the
    rest. It stands in the column of its confidence's bin (the last is for 1 itself, as in torchmetrics).
    """
    rows = np.arange(len(truth))
    true = np.eye(len(CLASSES))[truth]
    distance = ((probabilities - true) ** 2).sum(1)
    likelihood = np.clip(probabilities[rows, truth], np.finfo(np.float64).eps, 1)  # as scikit-learn does
    confidence = np.column_stack([probabilities[rows, predicted], probabilities])
    miss = confidence - np.column_stack([predicted == truth, true])
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="right") - 1
    by_bin = np.zeros((*confidence.shape, BINS + 1))
    by_bin[rows[:, None], np.arange(confidence.shape[1]), bins] = miss
    return np.column_stack([distance, -np.log(likelihood), by_bin.reshape(len(truth), -1)])


def _calibration_errors(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> tuple[float, list[float]]:
    """The expected calibration error of the predicted class, and of each class against the rest."""
    import torch  # here: both take seconds, which users of `Predictions` alone need not spend
    from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

    columns, true = torch.from_numpy(probabilities), torch.from_numpy(truth)
    overall = multiclass_calibration_error(columns, true, num_classes=len(CLASSES), n_bins=BINS)
    by_class = [
        float(binary_calibration_error(columns[:, k].contiguous(), (true == k).long(), n_bins=BINS))
        for k in range(len(CLASSES))
    ]
    return float(overall), by_class
