"""Simulated experiments, each looked at after every answer: the promise of `gateway.verdict.sequences`."""

import numpy as np
import pytest

from gateway.verdict.sequences import ALPHA
from tests.gateway.verdict.simulation import by_class, by_client, fixed_size, paired

SHARES = np.array([0.033, 0.051, 0.11, 0.012, 0.111, 0.668, 0.015])
"""About those of HAM10000: two classes are rare."""


def matrix(recalls: list[float]) -> np.ndarray:
    """The shares of a classifier with these recalls, its mistakes spread evenly."""
    wrong = SHARES[:, None] * (1 - np.array(recalls))[:, None] * (1 - np.eye(7)) / 6
    return np.asarray(wrong + np.diag(SHARES * recalls))


def test_without_a_difference_at_most_one_in_twenty_is_ever_shown_better() -> None:
    shown = by_client(1, (0.7, 0.7), 10_000)
    assert 0 < shown.share <= ALPHA
    assert shown.share + shown.share_worse <= ALPHA


def test_a_difference_is_shown_sooner_than_by_twice_the_test_of_a_fixed_size() -> None:
    accuracies = (0.7, 0.8)
    shown = by_client(2, accuracies, 4000)
    assert shown.share > 0.99
    assert np.median(shown.better) < shown.better.mean() < 2 * fixed_size(accuracies)
    assert np.quantile(shown.better, 0.8) < 2 * fixed_size(accuracies)


@pytest.mark.parametrize(("accuracy", "share"), [(0.7, 0.1), (0.7, 0.9), (0.97, 0.1), (0.05, 0.1), (0.5, 0.01)])
def test_unequal_shares_and_small_arms_hold_too(accuracy: float, share: float) -> None:
    shown = by_client(3, (accuracy, accuracy), 3000, share=share)
    assert max(shown.share, shown.share_worse) <= ALPHA


@pytest.mark.parametrize(("clients", "concentration", "share"), [(300, 2, 0.5), (1000, 1, 0.1), (60, 1, 0.5)])
def test_clients_that_answer_alike_hold_too(clients: int, concentration: float, share: float) -> None:
    shown = by_client(4, (0.7, 0.7), 3000, clients=clients, concentration=concentration, share=share)
    assert max(shown.share, shown.share_worse) <= ALPHA


def test_taking_clients_answers_for_independent_would_not_hold() -> None:
    shown = by_client(4, (0.7, 0.7), 3000, clients=300, concentration=2, as_clients=False)
    assert shown.share > 2 * ALPHA


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_means_of_classes_hold_too(metric: str) -> None:
    same = matrix([0.5, 0.6, 0.55, 0.4, 0.5, 0.9, 0.8])
    shown = by_class(5, (same, same), metric, 4000, experiments=1000, every=40)
    assert max(shown.share, shown.share_worse) <= ALPHA
    better = matrix([0.8, 0.8, 0.8, 0.8, 0.8, 0.9, 0.9])
    assert by_class(5, (same, better), metric, 6000, experiments=200, every=100).share > 0.95


def test_pairs_hold_and_are_quick() -> None:
    shown = paired(6, (0.1, 0.1, 0.6), 5000)
    assert max(shown.share, shown.share_worse) <= ALPHA
    faster = paired(6, (0.15, 0.05, 0.65), 3000)  # 0.8 against 0.7
    assert np.median(faster.better) < fixed_size((0.7, 0.8)) / 2
