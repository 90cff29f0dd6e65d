"""The ISIC challenge's scores, against its own code's figures; malignant against benign, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score, roc_curve

from lesions.labels import CLASSES
from zoo.metrics import challenge, malignancy
from zoo.metrics.bootstrap import Resamples
from zoo.metrics.evaluation import evaluate
from zoo.metrics.scores import Predictions


def made_up(seed: int = 2018, count: int = 300) -> Predictions:
    """Predictions with six decimals, the same ones each time."""
    random = np.random.default_rng(seed)
    labels = random.choice(7, count, p=[0.1, 0.1, 0.15, 0.05, 0.15, 0.4, 0.05])
    values = np.exp(1.5 * np.eye(7)[labels] + random.normal(size=(count, 7)))
    return Predictions(labels, (values / values.sum(1, keepdims=True)).round(6), [str(k // 2) for k in range(count)])


PREDICTIONS = made_up()

# isic-challenge-scoring 5.6.0 (with pandas below 3), of PREDICTIONS written as its two tables, weights 1:
#   isic-challenge-scoring -o json classification truth.csv prediction.csv
BY_ISIC = {
    "sensitivity": (0.16, 0.371428571, 0.292682927, 0.3125, 0.277777778, 0.2734375, 0.315789474),
    "specificity": (0.996363636, 0.98490566, 0.980694981, 1.0, 0.992424242, 1.0, 0.978647687),
    "ppv": (0.8, 0.764705882, 0.705882353, 1.0, 0.833333333, 1.0, 0.5),
    "npv": (0.928813559, 0.922261484, 0.897526502, 0.962711864, 0.909722222, 0.649056604, 0.954861111),
    "auc_above_80_sensitivity": (
        0.764218182, 0.810242588, 0.716263302, 0.893045775, 0.8309133, 0.78365734, 0.76044203,
    ),
    "average_precision": (0.592048642, 0.663427717, 0.561817403, 0.699187718, 0.670495826, 0.869264712, 0.462232891),
}  # fmt: skip
BALANCED_ACCURACY, AUC_OF_MEL = 0.5953936316182442, 0.902988215


def test_each_score_is_that_of_the_challenge_s_own_code() -> None:
    found = challenge.by_class(PREDICTIONS)
    for name, expected in BY_ISIC.items():
        assert [getattr(found[label], name) for label in CLASSES] == pytest.approx(expected, abs=1e-8), name
    report = evaluate(PREDICTIONS, PREDICTIONS)
    assert report["test"]["balanced_accuracy"] == pytest.approx(BALANCED_ACCURACY)
    assert report["test"]["classes"]["mel"]["auc"] == pytest.approx(AUC_OF_MEL, abs=1e-8)
    assert report["challenge"]["mel"]["ppv"] == pytest.approx(0.833333333)


@pytest.mark.parametrize("specificity", [0.8, 0.95])
def test_sensitivity_at_a_specificity_is_the_highest_of_the_curve(specificity: float) -> None:
    found = challenge.by_class(PREDICTIONS)["mel"]
    true, value = PREDICTIONS.labels == CLASSES.index("mel"), PREDICTIONS.probabilities[:, CLASSES.index("mel")]
    by_threshold = [
        (value[true] >= threshold).mean()
        for threshold in np.unique(value)
        if (value[~true] < threshold).mean() >= specificity - 1e-12
    ]
    assert getattr(found, f"sensitivity_at_{specificity * 100:.0f}_specificity") == pytest.approx(max(by_threshold))


def test_a_class_that_no_image_has_is_left_out() -> None:
    labels = np.where(PREDICTIONS.labels == 0, 5, PREDICTIONS.labels)
    assert set(challenge.by_class(PREDICTIONS._replace(labels=labels))) == set(CLASSES) - {"akiec"}


def test_malignancy_is_the_sum_of_three_classes() -> None:
    report = malignancy.score(PREDICTIONS, malignancy.thresholds(PREDICTIONS))
    assert report is not None
    columns = [CLASSES.index(name) for name in ("akiec", "bcc", "mel")]
    true, value = np.isin(PREDICTIONS.labels, columns), PREDICTIONS.probabilities[:, columns].sum(1)
    assert report.auc == pytest.approx(roc_auc_score(true, value))
    low, high = report.auc_interval
    assert low < report.auc < high
    # The partial area: the curve less the line of 80 %, where it is above.
    false_positives, sensitivities, _ = roc_curve(true, value, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)
    above = np.maximum(np.interp(grid, false_positives, sensitivities) - 0.8, 0)
    assert report.partial_auc == pytest.approx(auc(grid, above), abs=1e-4)
    low, high = report.partial_auc_interval
    assert low < report.partial_auc < high <= 0.2


def test_a_resample_s_partial_area_is_that_of_its_curve() -> None:
    true = malignancy.truth(PREDICTIONS.labels)
    value = malignancy.probability(PREDICTIONS.probabilities)
    resamples = Resamples(PREDICTIONS.labels, PREDICTIONS.lesions, 0, 5)
    times = resamples._times[resamples._lesions]
    for number, found in enumerate(resamples.curves(true, value).areas_above(0.8)):
        repeated = np.repeat(np.arange(len(true)), times[:, number].astype(int))
        expected = challenge.auc_above(true[repeated], value[repeated], 0.8)
        start = malignancy._false_positives(true[repeated], value[repeated], 0.8)
        assert found == pytest.approx(expected - 0.8 * (1 - start), abs=2e-3)


@given(seed=st.integers(0, 10_000))
def test_thresholds_have_their_sensitivity_on_validation(seed: int) -> None:
    valid = made_up(seed, 120)
    true, value = malignancy.truth(valid.labels), malignancy.probability(valid.probabilities)
    for target, threshold in malignancy.thresholds(valid).items():
        assert (value[true] >= threshold).mean() >= float(target) - 1e-12
        higher = value[true][value[true] > threshold]
        assert len(higher) / true.sum() < float(target), "and a higher one would not have it"


def test_operating_points_are_those_of_validation() -> None:
    thresholds = malignancy.thresholds(made_up(1))
    report = malignancy.score(PREDICTIONS, thresholds)
    assert report is not None
    true, value = malignancy.truth(PREDICTIONS.labels), malignancy.probability(PREDICTIONS.probabilities)
    for name, point in report.points.items():
        assert point.threshold == thresholds[name]
        assert point.sensitivity == pytest.approx((value[true] >= point.threshold).mean())
        assert point.specificity == pytest.approx((value[~true] < point.threshold).mean())
        assert point.sensitivity_interval[0] <= point.sensitivity <= point.sensitivity_interval[1]
        assert point.specificity_interval[0] <= point.specificity <= point.specificity_interval[1]


def test_without_malignant_images_there_is_no_score() -> None:
    benign = PREDICTIONS._replace(labels=np.full(300, CLASSES.index("nv")))
    assert malignancy.score(benign, {"0.90": 0.5}) is None


def test_nothing_predicted_is_nothing_wrong() -> None:
    labels = np.arange(7).repeat(2)
    spread = Predictions(labels, np.full((14, 7), 1 / 7), [str(k) for k in range(14)])
    found = challenge.by_class(spread)["mel"]
    # As isic-challenge-scoring's binary_ppv and binary_npv have it.
    assert found.ppv == 1
    assert found.npv == pytest.approx(12 / 14)
    certain = Predictions(labels, np.eye(7)[np.full(14, CLASSES.index("mel"))], spread.lesions)
    assert challenge.by_class(certain)["mel"].npv == 1


def test_an_operating_point_has_its_sensitivity_where_it_was_chosen() -> None:
    points = malignancy.thresholds(PREDICTIONS)
    scored = malignancy.score(PREDICTIONS, points)
    assert scored is not None
    for target, point in scored.points.items():
        assert point.sensitivity >= float(target)
        assert point.threshold == points[target]
