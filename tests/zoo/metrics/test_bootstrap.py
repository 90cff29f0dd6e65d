"""The bootstrap over lesions: against scikit-learn by hand, its coverage, paired differences, Holm."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from zoo.metrics.bootstrap import (
    Resamples,
    accuracy,
    balanced_accuracy,
    class_f1,
    estimate,
    holm,
    interval,
    macro_f1,
    paired_difference,
    paired_differences,
    reflected_interval,
)

Labels = NDArray[np.int64]


def resampled(
    truth: Labels, predicted: Labels, lesions: Sequence[str], seed: int = 0, count: int = 2000
) -> NDArray[np.float64]:
    return macro_f1(Resamples(truth, lesions, seed, count).confusions(predicted))


def single(count: int) -> list[str]:
    return [f"l{k}" for k in range(count)]


def test_single_images_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat(np.arange(7), 30)
    predicted = np.where(random.random(210) < 0.6, truth, random.integers(0, 7, 210))
    result = resampled(truth, predicted, single(210), count=500)
    by_hand = []
    for _ in range(500):
        rows = np.concatenate([random.choice(np.flatnonzero(truth == k), 30) for k in range(7)])
        by_hand.append(f1_score(truth[rows], predicted[rows], average="macro"))
    assert np.mean(result) == pytest.approx(np.mean(by_hand), abs=0.01)
    assert np.std(result) == pytest.approx(np.std(by_hand), rel=0.15)


def test_a_resample_is_scored_as_scikit_learn_does() -> None:
    random = np.random.default_rng(4)
    truth, predicted = random.integers(0, 5, 90), random.integers(0, 7, 90)  # two classes are never true
    matrix = np.zeros((1, 7, 7))
    np.add.at(matrix[0], (truth, predicted), 1)
    assert class_f1(matrix)[0] == pytest.approx(
        f1_score(truth, predicted, average=None, labels=range(7), zero_division=0)
    )
    assert macro_f1(matrix)[0] == pytest.approx(f1_score(truth, predicted, average="macro", labels=range(5)))
    assert balanced_accuracy(matrix)[0] == pytest.approx(balanced_accuracy_score(truth, predicted))
    # A resample may lack a class that others have: its lesions' images are of several classes.
    fewer = matrix[0].copy()
    fewer[4] = 0
    few = truth < 4
    expected = f1_score(truth[few], predicted[few], average="macro", labels=range(4))
    assert macro_f1(np.stack([matrix[0], fewer]))[1] == pytest.approx(expected)


def test_repeated_images_of_a_lesion_are_no_independent_evidence() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat(np.arange(7), 20)
    predicted = np.where(random.random(140) < 0.6, truth, random.integers(0, 7, 140))
    truth, predicted = np.repeat(truth, 4), np.repeat(predicted, 4)  # each lesion four times, always predicted the same
    by_lesion = resampled(truth, predicted, [f"l{k // 4}" for k in range(560)])
    by_image = resampled(truth, predicted, single(560))
    assert np.std(by_lesion) == pytest.approx(2 * np.std(by_image), rel=0.1)


def lesions_of_two(random: np.random.Generator, count: int) -> list[str]:
    """Some lesions have one image, some two, whose classes may differ."""
    return [f"l{k}" for k in random.integers(0, count * 2 // 3, count)]


def test_means_are_those_of_the_images_in_a_resample() -> None:
    random = np.random.default_rng(9)
    truth, predicted = random.integers(0, 7, 120), random.integers(0, 3, 120)
    resamples = Resamples(truth, lesions_of_two(random, 120), 0, 50)
    result = resamples.means(np.column_stack([predicted == truth, np.full(120, 2.5)]))
    assert result.shape == (50, 2)
    assert result[:, 0] == pytest.approx(accuracy(resamples.confusions(predicted)))
    assert np.ptp(result[:, 0]) > 0
    assert result[:, 1] == pytest.approx(np.full(50, 2.5))


def test_the_curves_of_resamples_are_scikit_learns() -> None:
    random = np.random.default_rng(10)
    truth = random.integers(0, 7, 150)
    positive = truth == 4
    chance = np.round(random.random(150) * 0.6 + 0.4 * positive, 1)  # with many ties
    resamples = Resamples(truth, lesions_of_two(random, 150), 0, 40)
    curves = resamples.curves(positive, chance)
    shares = resamples.means(np.eye(150))  # of each image in each resample
    for share, area, sensitivity in zip(shares, curves.areas(), curves.sensitivities(0.95), strict=True):
        assert area == pytest.approx(roc_auc_score(positive, chance, sample_weight=share))
        false, true, _ = roc_curve(positive, chance, sample_weight=share, drop_intermediate=False)
        assert sensitivity == pytest.approx(true[false <= 0.05 + 1e-9].max())


def test_a_resample_without_the_class_has_no_curve_and_is_left_out() -> None:
    truth = np.array([5, 4, *[5] * 6])
    resamples = Resamples(truth, ["a", "a", *"bcdefg"], 0, 200)  # the one melanoma belongs to a lesion called nv
    areas = resamples.curves(truth == 4, np.linspace(1, 0, 8)).areas()
    assert 0 < np.isnan(areas).sum() < 200
    low, high = interval(areas)
    assert 0 < low < high <= 1


def test_an_error_that_chance_makes_larger_is_covered_by_the_reflected_interval() -> None:
    random = np.random.default_rng(11)
    wrong, noise = random.normal(0, 0.02, 15), 0.02  # by how much 15 bins are off, and how well one can know it
    middle = reflected = 0
    for _ in range(200):
        result = wrong + random.normal(0, noise, 15)
        drawn = np.abs(result + random.normal(0, noise, (400, 15))).sum(1)
        truth, value = float(np.abs(wrong).sum()), float(np.abs(result).sum())
        intervals = [interval(drawn), reflected_interval(value, drawn)]
        covers = [low <= truth <= high for low, high in intervals]
        middle, reflected = middle + covers[0], reflected + covers[1]
    assert middle < 120
    assert reflected > 170
    assert reflected_interval(0.01, np.array([0.05, 0.06])) == (0, 0)


def guess(random: np.random.Generator, truth: Labels, accuracy: float) -> Labels:
    """Errors fall evenly on the other classes: where classes are balanced, the true macro F1 is the accuracy."""
    wrong = (truth + random.integers(1, 7, len(truth))) % 7
    return np.where(random.random(len(truth)) < accuracy, truth, wrong)


def test_the_interval_covers_the_true_value() -> None:
    random = np.random.default_rng(3)
    hits, accuracy = 0, 0.7
    truth = np.repeat(np.arange(7), 40)
    for trial in range(100):
        low, high = interval(resampled(truth, guess(random, truth, accuracy), single(280), trial, 400))
        hits += low <= accuracy <= high
    assert hits >= 88


def test_the_interval_of_a_difference_covers_the_true_one_and_p_is_small_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    truth = np.repeat(np.arange(7), 40)
    hits = rejected = 0
    for trial in range(100):
        resamples = Resamples(truth, single(280), trial, 400)
        good, middling, other = (estimate(resamples, guess(random, truth, right)) for right in (0.75, 0.65, 0.65))
        low, high = paired_difference(good, middling).interval
        hits += low <= 0.1 <= high
        rejected += paired_difference(middling, other).p < 0.05  # these two are worth the same
    assert hits >= 88
    assert rejected <= 12


def test_pairing_sees_what_two_intervals_cannot() -> None:
    random = np.random.default_rng(6)
    truth = np.repeat(np.arange(7), 60)
    worse = guess(random, truth, 0.6)
    wrong = np.flatnonzero(worse != truth)
    better = worse.copy()
    better[wrong[::6]] = truth[wrong[::6]]  # the same answers, but for some that were wrong
    resamples = Resamples(truth, single(420), 0)
    mine, other = estimate(resamples, better), estimate(resamples, worse)
    result = paired_difference(mine, other)
    assert interval(mine.resampled)[0] < interval(other.resampled)[1]
    assert result.difference == pytest.approx(
        f1_score(truth, better, average="macro") - f1_score(truth, worse, average="macro")
    )
    assert result.interval[0] > 0
    assert result.p == pytest.approx(2 / 2001)
    assert paired_difference(other, mine).p == result.p
    assert paired_difference(other, mine).difference == -result.difference


def test_no_difference_is_no_evidence() -> None:
    truth = np.repeat(np.arange(7), 5)
    same = estimate(Resamples(truth, single(35), 0), truth)
    assert paired_difference(same, same) == (0, (0, 0), 1, 1)


def test_differences_of_one_question_are_corrected_together() -> None:
    truth = np.repeat(np.arange(7), 5)
    resamples = Resamples(truth, single(35), 0)
    right, wrong, partly = (estimate(resamples, np.where(np.arange(35) % 5 < n, truth, 0)) for n in (5, 1, 3))
    pairs = [(right, wrong), (partly, wrong), (right, right)]
    result = paired_differences(pairs)
    separate = [paired_difference(*pair) for pair in pairs]
    assert [one[:3] for one in result] == [one[:3] for one in separate]
    assert all(one.p_holm == one.p for one in separate)
    assert [one.p_holm for one in result] == holm([one.p for one in separate])
    assert [one.is_significant for one in result] == [True, True, False]
    assert paired_differences([]) == []


def test_holm_by_hand() -> None:
    # 4 x 0.01; 3 x 0.02; 2 x 0.03 is no smaller than the one before; 1 x 0.04, but 0.06 came before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


def test_each_resample_has_as_many_lesions_of_each_class() -> None:
    truth = np.repeat(np.arange(7), [1, 2, 3, 5, 8, 13, 21])
    confusions = Resamples(truth, single(len(truth)), resamples=50).confusions(np.zeros_like(truth))
    assert (confusions.sum(2) == np.bincount(truth)).all()
