import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, f1_score

from gateway.verdict.clients import Clients
from gateway.verdict.estimates import LEAST_OF_CLASS, difference, estimate, missing
from gateway.verdict.metrics import METRICS
from gateway.verdict.sequences import EXTRA, LEAST_CLIENTS, TIGHTEST, clients_needed, half_width
from tests.gateway.verdict.simulation import differences
from zoo.study import ROOT


def arm(n: int, seed: int = 0, clients: int | None = None, name: str = "") -> Clients:
    """The clients of `n` answers, of every class, each by a client of its own unless there are fewer."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % 7
    predicted = np.where(random.random(n) < 0.7, truth, random.integers(0, 7, n))
    names = np.array([f"{name}{number % (clients or n):06}" for number in range(n)])
    return Clients.of(names, truth, predicted)


def test_a_metric_is_that_of_scikit_learn_where_each_client_has_one_answer() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 7, 500), random.integers(0, 7, 500)
    matrix = Clients.of(np.arange(500).astype(str), truth, predicted).mean
    assert METRICS["accuracy"](matrix)[0] == pytest.approx((truth == predicted).mean())
    assert METRICS["balanced_accuracy"](matrix)[0] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert METRICS["macro_f1"](matrix)[0] == pytest.approx(f1_score(truth, predicted, average="macro"))


@pytest.mark.parametrize("metric", METRICS)
def test_a_gradient_is_that_of_small_steps(metric: str) -> None:
    matrix = np.random.default_rng(0).random((7, 7)) / 49
    gradient = METRICS[metric](matrix)[1]
    for row, column in np.ndindex(7, 7):
        step = np.zeros((7, 7))
        step[row, column] = 1e-7
        slope = (METRICS[metric](matrix + step)[0] - METRICS[metric](matrix - step)[0]) / 2e-7
        assert gradient[row, column] == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_simulation_of_many_experiments_has_the_samedifferencess(metric: str) -> None:
    first, second = arm(700, 1, name="a"), arm(350, 2, name="b")
    tables = np.stack([one.confusions.sum(0) for one in (second, first)])[None]
    value, half = differences(tables, metric, 0.05)
    computed = difference(first, second, metric)
    assert computed is not None
    assert computed.value == pytest.approx(value[0])
    assert (computed.interval[1] - computed.interval[0]) / 2 == pytest.approx(half[0])


def test_an_interval_has_nothing_that_cannot_be() -> None:
    right = np.arange(700) % 7
    all_right = Clients.of(np.arange(700).astype(str), right, right)
    all_wrong = Clients.of(np.array([f"other {n}" for n in range(700)]), right, (right + 1) % 7)
    for metric in METRICS:
        estimates = (
            estimate(all_wrong, metric),
            estimate(all_right, metric),
            difference(all_wrong, all_right, metric),
            difference(all_right, all_wrong, metric),
        )
        (worst, low), (high, best), (lost, less), (more, won) = (one.interval for one in estimates if one)
        assert (worst, best, lost, won) == (0, 1, -1, 1)
        assert 0 < low < 1
        assert 0 < high < 1
        assert less < 0 < more


def test_a_client_counts_once_however_many_answers_it_has() -> None:
    names, right = np.array(["a"] * 98 + ["b", "c"]), np.zeros(100, dtype=int)
    matrix = Clients.of(names, right, np.array([0] * 98 + [1, 1])).mean
    assert METRICS["accuracy"](matrix)[0] == pytest.approx(1 / 3)


def test_answers_of_few_clients_say_less_than_those_of_many() -> None:
    many, few = estimate(arm(600), "accuracy"), estimate(arm(600, clients=60), "accuracy")
    assert many is not None
    assert few is not None
    assert few.interval[1] - few.interval[0] > many.interval[1] - many.interval[0]


def test_pairs_cancel_what_both_sides_have_in_common() -> None:
    same, other = arm(400), arm(400, 3, name="other")
    paired, unpaired = difference(same, same, "accuracy"), difference(same, other, "accuracy")
    assert paired is not None
    assert unpaired is not None
    assert paired.value == 0
    assert paired.variance < unpaired.variance / 10
    assert paired.variance > 0, "made-up clients keep it from being sure of what it cannot know"


def test_nothing_is_said_of_few_clients_or_of_a_class_without_feedback() -> None:
    few = arm(LEAST_CLIENTS - 1)
    assert estimate(few, "accuracy") is None
    assert str(LEAST_CLIENTS - 1) in missing("accuracy", [few])
    truth = np.zeros(100, dtype=int)
    one_class = Clients.of(np.arange(100).astype(str), truth, truth)
    assert estimate(one_class, "accuracy") is not None
    assert estimate(one_class, "macro_f1") is None
    assert "mel 0" in missing("macro_f1", [one_class])
    assert difference(one_class, arm(700), "balanced_accuracy") is None
    assert not missing("macro_f1", [arm(7 * LEAST_OF_CLASS)])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=200))
def test_any_answers_give_a_number_or_a_reason(rows: list[tuple[int, int, int]]) -> None:
    clients, truth, predicted = (np.array(column) for column in zip(*rows, strict=True))
    one = Clients.of(clients.astype(str), truth, predicted)
    assert one.mean.sum() == pytest.approx(1)
    for metric in METRICS:
        computed = difference(one, one, metric)
        assert (computed is None) == bool(missing(metric, [one, one]))
        if computed:
            assert np.isfinite([computed.value, *computed.interval]).all()
            assert computed.interval[0] <= computed.value <= computed.interval[1]


@given(st.integers(LEAST_CLIENTS, 10**6), st.floats(1e-4, 0.05))
def test_more_clients_give_narrower_intervals_for_a_smaller_chance_wider_ones(clients: int, alpha: float) -> None:
    half = half_width(0.2 / clients, clients, alpha)
    assert half_width(0.1 / clients, 2 * clients, alpha) < half < half_width(0.2 / clients, clients, alpha / 2)
    needed = clients_needed(0.2 / clients, clients, float(half) / 3, alpha)
    assert needed is not None
    assert half_width(0.2 / needed, needed, alpha) <= half / 3


def test_no_number_of_clients_is_named_where_it_would_be_out_of_reach() -> None:
    assert clients_needed(1e-3, 100, 1e-9) is None
    assert EXTRA > 0


@pytest.mark.parametrize("clients", [20, 100, 500, 5000])
def test_a_bound_is_where_the_mixture_of_likelihoods_reaches_one_over_alpha(clients: int) -> None:
    """Another way to the same number: the normal mixture that the theorem is proved by, integrated by scipy."""
    alpha, spread = 0.05, 0.4
    rho = np.sqrt((-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / TIGHTEST)
    total = clients * float(half_width(spread**2 / clients, clients, alpha)) / spread

    def mixed(slope: float) -> float:
        return float(np.exp(slope * total - slope**2 * clients / 2) * norm.pdf(slope, scale=rho))

    top = total / (clients + 1 / rho**2)
    integral, _ = quad(mixed, -5, 5, points=[top, -top], limit=500)
    assert integral == pytest.approx(1 / alpha, rel=1e-6)


def test_what_looking_at_any_time_costs_is_what_the_docs_say() -> None:
    single_look = norm.ppf(0.975)
    ratios = {clients: float(half_width(1, clients)) / single_look for clients in (50, 200, TIGHTEST, 2000, 20_000)}
    assert min(ratios, key=lambda clients: ratios[clients]) == TIGHTEST == 500
    text = (ROOT / "docs" / "live.md").read_text()
    assert f"At about 500 clients in each arm, an interval is {ratios[500]:.2f} times as\nwide" in text
