"""Made-up experiments on equal arms whose shares change once, while pictures get easier or harder."""

import numpy as np

from gateway.experiments.experiment import Earlier, Experiment
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.estimates import difference
from gateway.verdict.sides import seen_by
from gateway.verdict.verdict import Conclusion, clients, conclude
from tests.gateway.verdict.rows import STARTED

CHANGE = 1000.0
"""Seconds after the start, at one answer a second."""


def experiment(first: float, second: float) -> Experiment:
    """Shares of the candidate before and after the change."""
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
    probabilities, ones = np.eye(7)[predicted], np.ones(n)
    return Answers(
        ids=names,
        times=times,
        versions=versions,
        shadow_of=np.array([""] * n),
        clients=names,
        statuses=np.full(n, 200),
        probabilities=probabilities,
        latencies=ones,
        distances=ones,
        truth=truth,
        known=times,
        contradictions=0,
    )


def both(of: Experiment, answers: Answers) -> tuple[Clients, Clients]:
    """The clients of the candidate, and those of the reference."""
    return clients(of, seen_by(answers, "transfer"), seen_by(answers, "baseline"), paired=False)


def conclusion(of: Experiment, answers: Answers) -> Conclusion:
    """The verdict on the candidate."""
    return conclude(difference(*both(of, answers), "accuracy"), 0.03)


def mistaken(shares: tuple[float, float], later: float, experiments: int, looks: range) -> dict[str, float]:
    """How many of the experiments ever say "better", and "worse", at looks after so many answers.

    Both arms are right in 0.8 of answers, and `later` after the change.
    """
    of, same = experiment(*shares), {arm: (0.8, later) for arm in ("baseline", "transfer")}
    counts = {"better": 0, "worse": 0}
    for seed in range(experiments):
        answers = made_up(np.random.default_rng(seed), of, same, looks[-1])
        shown = {conclusion(of, answers.take(np.arange(n))) for n in looks}
        for name in counts:
            counts[name] += name in shown
    return {name: count / experiments for name, count in counts.items()}
