"""What a classifier is worth: scikit-learn's scores, and intervals by bootstrap over lesions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from lesions.labels import CLASSES

RESAMPLES = 2000
"""Bootstrap resamples behind every interval."""


class ClassScore(BaseModel):
    """One class against the rest; a score without any case (0 / 0) is 0, as in scikit-learn."""

    model_config = ConfigDict(frozen=True)

    precision: float
    recall: float
    f1: float
    support: int


class Scores(BaseModel):
    """Scores of n images."""

    model_config = ConfigDict(frozen=True)

    images: int
    lesions: int
    macro_f1: float
    """The mean of the seven classes' F1: the headline."""
    macro_f1_interval: tuple[float, float]
    """95 %, by bootstrap over lesions, stratified by class."""
    accuracy: float
    balanced_accuracy: float
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


def score(predictions: Predictions, seed: int = 0) -> Scores:
    """Every score of `predictions`; `seed` draws the bootstrap."""
    truth, said = predictions.labels, predictions.probabilities.argmax(1)
    numbers = list(range(len(CLASSES)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=numbers, zero_division=0)
    resampled = bootstrap_macro_f1(truth, said, predictions.lesions, seed)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Scores(
        images=len(truth),
        lesions=len(set(predictions.lesions)),
        macro_f1=float(f1.mean()),
        macro_f1_interval=(float(low), float(high)),
        accuracy=float(accuracy_score(truth, said)),
        balanced_accuracy=float(balanced_accuracy_score(truth, said)),
        classes={
            name: ClassScore(precision=precision[k], recall=recall[k], f1=f1[k], support=support[k])
            for k, name in enumerate(CLASSES)
        },
        confusion=confusion_matrix(truth, said, labels=numbers).tolist(),
    )


def bootstrap_macro_f1(
    truth: NDArray[np.int64], said: NDArray[np.int64], lesions: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Macro F1 of `resamples` resamples, [resamples]: whole lesions drawn with replacement, class by class.

    Images of one lesion are no independent evidence, so they come and go together. A lesion belongs to the class of
    its first image.
    """
    random = np.random.default_rng(seed)
    numbers = {lesion: number for number, lesion in enumerate(dict.fromkeys(lesions))}
    of_image = np.array([numbers[lesion] for lesion in lesions])
    first = np.unique(of_image, return_index=True)[1]
    # Each lesion's share in the confusion matrix, flattened: [lesions, 49].
    cells = np.zeros((len(numbers), len(CLASSES) ** 2))
    np.add.at(cells, (of_image, truth * len(CLASSES) + said), 1)
    confusion = np.zeros((resamples, len(CLASSES) ** 2))
    for label in np.unique(truth[first]):
        members = np.flatnonzero(truth[first] == label)
        times = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
        confusion += times @ cells[members]
    matrices = confusion.reshape(-1, len(CLASSES), len(CLASSES))
    right = np.diagonal(matrices, axis1=1, axis2=2)
    either = matrices.sum(1) + matrices.sum(2)
    f1 = np.divide(2 * right, either, out=np.zeros_like(right), where=either > 0)
    return np.asarray(f1.mean(1))
