"""Scores: scikit-learn's, and cases computed by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from lesions.labels import CLASSES
from zoo.metrics.bootstrap import Resamples, interval, reflected_interval
from zoo.metrics.scores import Predictions, score


def probabilities(predicted: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.eye(len(CLASSES))[predicted] * 0.9 + 0.1 / len(CLASSES)


def test_a_case_by_hand() -> None:
    # Each class once, and class 0 a second time, predicted as class 1: F1 of 0 and of 1 is 2/3, of all others 1.
    truth, predicted = [0, 1, 2, 3, 4, 5, 6, 0], [0, 1, 2, 3, 4, 5, 6, 1]
    result = score(Predictions(np.array(truth), probabilities(predicted), [f"l{k}" for k in range(8)]))
    assert result.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 5) / 7)
    assert result.accuracy == pytest.approx(7 / 8)
    assert result.balanced_accuracy == pytest.approx((0.5 + 6) / 7)
    assert result.classes["akiec"].precision == 1
    assert result.classes["bcc"].recall == 1
    assert result.confusion[0] == [1, 1, 0, 0, 0, 0, 0]
    # 0.9 + 0.1 / 7 is the probability of one class, 0.1 / 7 of the others; it is right 7 times of 8.
    high, low = 0.9 + 0.1 / 7, 0.1 / 7
    assert result.ece == pytest.approx(high - 7 / 8)
    assert result.nll == pytest.approx(-(7 * math.log(high) + math.log(low)) / 8)
    right, wrong = (1 - high) ** 2 + 6 * low**2, (1 - low) ** 2 + high**2 + 5 * low**2
    assert result.brier == pytest.approx((7 * right + wrong) / 8)
    # Class bcc: `high` is given twice and right once; `low` is given 6 times and always wrong.
    assert result.classes["bcc"].ece == pytest.approx((2 * (high - 0.5) + 6 * low) / 8)
    assert result.melanoma_sensitivity == 1


def test_scikit_learn_agrees() -> None:
    random = np.random.default_rng(7)
    truth = random.integers(0, 7, 300)
    logits = random.normal(size=(300, 7)) + 1.5 * np.eye(7)[truth]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = chances.argmax(1)
    actual = score(Predictions(truth, chances.astype(np.float32), [f"l{k}" for k in range(300)]))
    assert actual.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-6)
    assert actual.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted), abs=1e-6)
    assert actual.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-6)
    assert actual.macro_auc == pytest.approx(roc_auc_score(truth, chances, multi_class="ovr"), abs=1e-6)
    assert actual.nll == pytest.approx(log_loss(truth, chances), abs=1e-6)
    assert actual.brier == pytest.approx(((chances - np.eye(7)[truth]) ** 2).sum(1).mean(), abs=1e-6)
    for k, name in enumerate(CLASSES):
        one = actual.classes[name]
        assert one.precision == pytest.approx(precision_score(truth, predicted, average=None)[k], abs=1e-6)
        assert one.recall == pytest.approx(recall_score(truth, predicted, average=None)[k], abs=1e-6)
        assert one.auc == pytest.approx(roc_auc_score(truth == k, chances[:, k]), abs=1e-6)
        assert one.f1_interval[0] < one.f1 < one.f1_interval[1]
    low, high = actual.balanced_accuracy_interval
    assert low < actual.balanced_accuracy < high


def test_the_calibration_error_is_that_of_15_equal_bins() -> None:
    random = np.random.default_rng(8)
    truth, chances = random.integers(0, 7, 500), random.dirichlet(np.full(7, 0.4), 500)
    actual = score(Predictions(truth, chances, [f"l{k}" for k in range(500)]))
    predicted, confidence = chances.argmax(1), chances.max(1)

    def by_hand(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
        bins = np.floor(probabilities * 15)
        return float(
            sum(abs(probabilities[bins == k].sum() - right[bins == k].sum()) for k in range(15)) / len(probabilities)
        )

    assert actual.ece == pytest.approx(by_hand(confidence, predicted == truth), abs=1e-6)
    assert actual.classes["nv"].ece == pytest.approx(by_hand(chances[:, 5], truth == 5), abs=1e-6)


def test_melanoma_sensitivity_by_hand() -> None:
    # 4 melanomas and 40 others: two of these (5 %) may be called melanoma, and the third highest is at 0.7.
    chance = np.array([0.95, 0.8, 0.75, 0.3, 0.9, 0.85, 0.7, *[0.1] * 37])
    truth = np.array([4] * 4 + [5] * 40)
    chances = np.zeros((44, 7))
    chances[:, 4], chances[:, 5] = chance, 1 - chance
    actual = score(Predictions(truth, chances, [f"l{k}" for k in range(44)]))
    assert actual.melanoma_sensitivity == 3 / 4


def test_classes_that_no_image_has_are_left_out_of_the_means() -> None:
    truth = np.array([4, 4, 5, 5])
    actual = score(Predictions(truth, probabilities([4, 5, 5, 0]), list("abcd")))
    assert actual.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert actual.balanced_accuracy == 1 / 2
    assert actual.classes["vasc"].auc is None
    assert actual.classes["vasc"].auc_interval is None
    assert actual.macro_auc is not None
    no_melanoma = score(Predictions(truth[2:], probabilities([5, 0]), list("ab")))
    assert no_melanoma.melanoma_sensitivity is None
    assert no_melanoma.melanoma_sensitivity_interval is None
    assert no_melanoma.macro_auc is None
    assert no_melanoma.macro_auc_interval is None


def test_the_same_seed_gives_the_same_interval() -> None:
    truth = np.repeat(np.arange(7), 5)
    predictions = Predictions(
        truth, probabilities([(k + (k % 3 == 0)) % 7 for k in truth]), [f"l{k}" for k in range(35)]
    )
    assert score(predictions) == score(predictions)


def test_an_interval_is_that_of_the_scores_of_the_resamples() -> None:
    random = np.random.default_rng(12)
    truth = random.integers(0, 7, 90)
    logits = 2 * random.normal(size=(90, 7)) + 1.5 * np.eye(7)[truth]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    chances[0] = np.eye(7)[truth[0]]  # as sure as can be: a bin of its own
    lesions = [f"l{k}" for k in random.integers(0, 60, 90)]
    drawn = Resamples(truth, lesions, 0, 30)
    actual = score(Predictions(truth, chances, lesions), drawn)
    by_hand = []
    for share in drawn.means(np.eye(90)):
        rows = np.repeat(np.arange(90), np.rint(share / share[share > 0].min()).astype(int))
        names = [f"l{k}" for k in range(len(rows))]
        few = Resamples(truth[rows], names, 0, 2)
        by_hand.append(score(Predictions(truth[rows], chances[rows], names), few))
    for name in ("accuracy", "balanced_accuracy", "macro_auc", "melanoma_sensitivity", "brier", "nll"):
        wanted = interval(np.array([getattr(one, name) for one in by_hand]))
        assert getattr(actual, f"{name}_interval") == pytest.approx(wanted, abs=1e-6), name
    eces = np.array([one.ece for one in by_hand])
    assert actual.ece_interval == pytest.approx(reflected_interval(actual.ece, eces), abs=1e-6)
    mel = [one.classes["mel"] for one in by_hand]
    one = actual.classes["mel"]
    assert one.auc_interval == pytest.approx(interval(np.array([each.auc for each in mel], dtype=float)), abs=1e-6)
    assert one.ece_interval == pytest.approx(
        reflected_interval(one.ece, np.array([each.ece for each in mel])), abs=1e-6
    )
