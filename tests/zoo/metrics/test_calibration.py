"""Calibration: temperatures that are known are found, and a shifted prior is shifted back."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from lesions.labels import CLASSES
from zoo.metrics.calibration import (
    COLDEST,
    Logits,
    calibrate,
    class_shares,
    coefficients,
    temperature,
    without_temperature,
)

UNIFORM = np.full(7, 1 / 7)
NATURAL = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])


def drawn(prior: NDArray[np.float64], n: int = 6000, seed: int = 0) -> Logits:
    """Logits that are true: their softmax is each class's chance, by Bayes, and classes are as frequent as `prior`.

    Each class is a Gaussian with unit variance round its own corner.
    """
    random = np.random.default_rng(seed)
    labels = random.choice(7, n, p=prior)
    seen = 1.5 * np.eye(7)[labels] + random.normal(size=(n, 7))
    return Logits(1.5 * seen + np.log(prior), labels)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(true: float) -> None:
    valid, test = drawn(NATURAL), drawn(NATURAL, seed=1)
    result = calibrate(
        Logits(valid.values * true, valid.labels), Logits(test.values * true, test.labels), NATURAL, NATURAL
    )
    assert result.temperature == pytest.approx(true, rel=0.06)
    assert result.prior_corrected is None
    predicted = softmax(test.values * true, axis=1)
    rows = np.arange(len(test.labels))
    assert result.uncalibrated["test"].nll == pytest.approx(-np.log(predicted[rows, test.labels]).mean(), rel=1e-6)
    if true != 1:
        assert result.uncalibrated["test"].ece > 0.04


def test_a_network_that_is_never_wrong_gets_the_coldest() -> None:
    labels = np.arange(70) % 7
    assert temperature(Logits(np.eye(7)[labels], labels)) == pytest.approx(COLDEST, abs=1e-3)


def test_the_temperature_is_of_validation_alone() -> None:
    valid, test = drawn(NATURAL), drawn(NATURAL, seed=1)
    first = calibrate(valid, test, NATURAL, UNIFORM)
    second = calibrate(valid, Logits(3 * test.values[:, ::-1], test.labels), NATURAL, UNIFORM)
    assert first.prior_corrected is not None
    assert second.prior_corrected is not None
    assert first.temperature == second.temperature
    assert first.prior_corrected.temperature == second.prior_corrected.temperature
    assert first.uncalibrated["test"] != second.uncalibrated["test"]


def test_a_shifted_prior_is_corrected() -> None:
    valid, test = drawn(NATURAL), drawn(NATURAL, seed=1)
    # What a network says that has seen balanced classes.
    balanced = [Logits(part.values - np.log(NATURAL) + np.log(UNIFORM), part.labels) for part in (valid, test)]
    result = calibrate(balanced[0], balanced[1], NATURAL, UNIFORM).prior_corrected
    assert result is not None
    right = calibrate(valid, test, NATURAL, NATURAL).uncalibrated["test"]
    assert result.temperature == pytest.approx(1, abs=0.06)
    assert result.test.nll == pytest.approx(right.nll, abs=0.002)
    assert result.test.ece < 0.02
    assert result.natural == dict(zip(CLASSES, NATURAL, strict=True))


def test_a_class_that_was_never_seen_leaves_nothing_to_correct() -> None:
    valid = drawn(NATURAL)
    seen = np.array([0, 1, 1, 1, 1, 1, 1]) / 6
    assert calibrate(valid, valid, NATURAL, seen).prior_corrected is None


def test_shares() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7])
    assert class_shares(labels) == pytest.approx(np.arange(1, 8) / 28)
    assert class_shares(labels, 1 / np.arange(1, 8)) == pytest.approx(UNIFORM)


@pytest.mark.parametrize("by", [0.3, 1.0, 4.0])
def test_a_temperature_can_be_reversed_and_changes_no_label(by: float) -> None:
    predicted = drawn(NATURAL, 500).values
    probabilities = softmax(predicted / by, axis=1)
    assert (probabilities.argmax(1) == predicted.argmax(1)).all()
    assert without_temperature(probabilities, by) == pytest.approx(softmax(predicted, axis=1), abs=1e-9)


def test_an_ensemble_s_factors_have_the_least_likelihood_loss_and_are_never_negative() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, 400)
    truth = np.eye(7)[labels]
    good, better = (softmax(truth * strength + random.normal(size=truth.shape), axis=1) for strength in (1.0, 2.0))
    wrong = softmax(-3 * truth + random.normal(size=truth.shape), axis=1)
    probabilities = np.stack([good, better, wrong])
    found = coefficients(probabilities, labels)
    assert found.min() >= 0
    assert found[1] > found[0] > 0

    def nll(factors: object) -> float:
        values = log_softmax(np.tensordot(np.asarray(factors), np.log(probabilities), 1), axis=1)
        return -float(values[np.arange(400), labels].mean())

    for change in np.vstack([np.eye(3), -np.eye(3)]) * 0.02:
        assert nll(found) <= nll(np.maximum(found + change, 0)) + 1e-9
    # One model alone: its factor is one over the temperature.
    own = coefficients(good[None], labels)
    assert own[0] == pytest.approx(1 / temperature(Logits(np.log(good), labels)), abs=1e-3)
