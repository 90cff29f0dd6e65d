"""Changes of shares: arms are compared within the periods between them, since pictures may get harder meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.experiments.experiment import Earlier, Experiment, Removal
from gateway.verdict.estimates import difference
from gateway.verdict.sequences import ALPHA
from tests.gateway.verdict.changing import CHANGE, both, conclusion, experiment, made_up, mistaken
from tests.gateway.verdict.rows import STARTED


@pytest.mark.parametrize("shares", [(0.1, 0.5), (0.5, 0.1)])
@pytest.mark.parametrize("later", [0.5, 0.98])
def test_pictures_that_get_harder_or_easier_make_no_arm_better(shares: tuple[float, float], later: float) -> None:
    assert sum(mistaken(shares, later, 100, range(500, 5001, 900)).values()) <= ALPHA


def test_all_answers_together_would_mislead() -> None:
    of = experiment(0.1, 0.5)
    answers = made_up(np.random.default_rng(0), of, {"baseline": (0.8, 0.5), "transfer": (0.8, 0.5)}, 4000)
    assert conclusion(of, answers) not in ("better", "worse")
    assert conclusion(of.model_copy(update={"earlier": ()}), answers) == "worse"


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
