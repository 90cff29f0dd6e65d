"""Changes of shares: arms are compared within the periods between them, since pictures may get harder meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.experiments.experiment import Earlier, Experiment, Removal
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.estimates import difference
from gateway.verdict.sequences import ALPHA
from gateway.verdict.sides import seen_by
from gateway.verdict.verdict import clients, conclude
from tests.gateway.verdict.rows import STARTED

CHANGE = 1000.0
"""Seconds after the start, at one answer a second."""


def experiment(first: float, second: float) -> Experiment:
    """Shares of the candidate before and after a change."""
    arms = [{"baseline": 1 - share, "transfer": share} for share in (first, second)]
    earlier = (Earlier(arms=arms[0], until=STARTED + CHANGE),)
    return Experiment(name="trial", started=STARTED, arms=arms[1], earlier=earlier)


def made_up(random: np.random.Generator, of: Experiment, accuracies: dict[str, tuple[float, float]], n: int) -> Answers:
    """Answers of n clients, each right by its arm's accuracy before the change and after it."""
    times = STARTED + np.arange(n, dtype=float)
    after = (times >= STARTED + CHANGE).astype(int)
    shares = np.array([of.earlier[0].arms["transfer"], of.arms["transfer"]])
    versions = np.where(random.random(n) < shares[after], "transfer", "baseline")
    accuracy = np.array([accuracies[name][late] for name, late in zip(versions.tolist(), after, strict=True)])
    truth = np.arange(n) % 7
    predicted = np.where(random.random(n) < accuracy, truth, (truth + 1) % 7)
    names = np.array([f"{number:06}" for number in range(n)])
    empty = np.array([""] * n)
    probabilities, ones = np.eye(7)[predicted], np.ones(n)
    return Answers(
        names, times, versions, empty, names, ones.astype(int) * 200, probabilities, ones, ones, truth, times, 0
    )


def both(of: Experiment, answers: Answers) -> tuple[Clients, Clients]:
    return clients(of, seen_by(answers, "transfer"), seen_by(answers, "baseline"), paired=False)


def conclusion(of: Experiment, answers: Answers) -> str:
    return conclude(difference(*both(of, answers), "accuracy"), 0.03)


@pytest.mark.parametrize(("first", "second"), [(0.1, 0.5), (0.5, 0.1)])
@pytest.mark.parametrize("later", [0.5, 0.98])
def test_pictures_that_get_harder_or_easier_make_no_arm_better(first: float, second: float, later: float) -> None:
    of, shown, experiments = experiment(first, second), 0, 100
    same = {"baseline": (0.8, later), "transfer": (0.8, later)}
    for seed in range(experiments):
        answers = made_up(np.random.default_rng(seed), of, same, 5000)
        looks = [answers.take(np.arange(n)) for n in range(500, 5001, 900)]
        shown += any(conclusion(of, look) in ("better", "worse") for look in looks)
    assert shown <= ALPHA * experiments
    unmatched = of.model_copy(update={"earlier": ()})
    assert conclusion(unmatched, answers) in ("better", "worse"), "all answers together mislead"


def test_a_difference_is_shown_across_a_change() -> None:
    of = experiment(0.1, 0.5)
    answers = made_up(np.random.default_rng(0), of, {"baseline": (0.8, 0.5), "transfer": (0.9, 0.6)}, 4000)
    assert conclusion(of, answers) == "better"
    estimate = difference(*both(of, answers), "accuracy")
    assert estimate is not None
    assert estimate.value == pytest.approx(0.1, abs=0.03)


def test_a_time_in_which_an_arm_has_nobody_does_not_count() -> None:
    removal = Removal(time=STARTED + 500, reason="slow")
    earlier = Earlier(arms={"baseline": 0.5, "transfer": 0.5}, removed={"transfer": removal}, until=STARTED + CHANGE)
    of = Experiment(name="trial", started=STARTED, arms=earlier.arms, earlier=(earlier,))
    assert of.changes == [STARTED + 500, STARTED + CHANGE]
    answers = made_up(np.random.default_rng(0), of, {"baseline": (0.8, 0.8), "transfer": (0.8, 0.8)}, 3000)
    out = (answers.times >= STARTED + 500) & (answers.times < STARTED + CHANGE)
    answers = replace(answers, versions=np.where(out, "baseline", answers.versions))
    ours, theirs = both(of, answers)
    counted = answers.take(~out)
    assert len(ours) + len(theirs) == len(counted)
    assert ours.weights.sum() == pytest.approx(1)
    assert ours.weights[ours.names < "000500"].sum() == pytest.approx(500 / len(counted), abs=1e-9)
    assert theirs.weights[theirs.names < "000500"].sum() == pytest.approx(500 / len(counted), abs=1e-9)
