"""Scores: scikit-learn's, a case computed by hand, and what the bootstrap over lesions must do."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lesions.labels import CLASSES
from zoo.scores import Predictions, bootstrap_macro_f1, score


def told(said: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.eye(len(CLASSES))[said] * 0.9 + 0.1 / len(CLASSES)


def test_a_case_by_hand() -> None:
    # Each class once, and class 0 a second time, told to be class 1: F1 of 0 and of 1 is 2/3, of all others 1.
    truth, said = [0, 1, 2, 3, 4, 5, 6, 0], [0, 1, 2, 3, 4, 5, 6, 1]
    result = score(Predictions(np.array(truth), told(said), [f"l{k}" for k in range(8)]))
    assert result.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 5) / 7)
    assert result.accuracy == pytest.approx(7 / 8)
    assert result.balanced_accuracy == pytest.approx((0.5 + 6) / 7)
    assert result.classes["akiec"].precision == 1
    assert result.classes["bcc"].recall == 1
    assert result.confusion[0] == [1, 1, 0, 0, 0, 0, 0]


def test_the_bootstrap_of_single_images_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat(np.arange(7), 30)
    said = np.where(random.random(210) < 0.6, truth, random.integers(0, 7, 210))
    lesions = [f"l{k}" for k in range(210)]
    resampled = bootstrap_macro_f1(truth, said, lesions, 0, 500)
    by_hand = []
    for _ in range(500):
        rows = np.concatenate([random.choice(np.flatnonzero(truth == k), 30) for k in range(7)])
        by_hand.append(f1_score(truth[rows], said[rows], average="macro"))
    assert np.mean(resampled) == pytest.approx(np.mean(by_hand), abs=0.01)
    assert np.std(resampled) == pytest.approx(np.std(by_hand), rel=0.15)


def test_repeated_images_of_a_lesion_are_no_independent_evidence() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat(np.arange(7), 20)
    said = np.where(random.random(140) < 0.6, truth, random.integers(0, 7, 140))
    truth, said = np.repeat(truth, 4), np.repeat(said, 4)  # each lesion four times, always told the same
    by_lesion = bootstrap_macro_f1(truth, said, [f"l{k // 4}" for k in range(560)], 0)
    by_image = bootstrap_macro_f1(truth, said, [f"l{k}" for k in range(560)], 0)
    assert np.std(by_lesion) == pytest.approx(2 * np.std(by_image), rel=0.1)


def test_the_interval_covers_the_true_value() -> None:
    random = np.random.default_rng(3)
    hits, accuracy = 0, 0.7
    # Errors fall evenly on the other classes and classes are balanced, so the true macro F1 is the accuracy.
    for trial in range(100):
        truth = np.repeat(np.arange(7), 40)
        wrong = (truth + random.integers(1, 7, len(truth))) % 7
        said = np.where(random.random(len(truth)) < accuracy, truth, wrong)
        low, high = np.quantile(
            bootstrap_macro_f1(truth, said, [f"l{k}" for k in range(len(truth))], trial, 400), [0.025, 0.975]
        )
        hits += low <= accuracy <= high
    assert hits >= 88


def test_the_same_seed_gives_the_same_interval() -> None:
    truth = np.repeat(np.arange(7), 5)
    predictions = Predictions(truth, told([(k + (k % 3 == 0)) % 7 for k in truth]), [f"l{k}" for k in range(35)])
    assert score(predictions) == score(predictions)
