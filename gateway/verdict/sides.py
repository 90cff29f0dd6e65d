"""The two sides of a comparison, and what is known of one arm."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from gateway.events.tables import GIVEN_UP
from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.estimates import Estimate, estimate, missing
from gateway.verdict.metrics import METRICS
from lesions.labels import CLASSES
from zoo.metrics.scores import reliability

LEAST_CALIBRATED = 30
"""Answers with feedback; with fewer, calibration is not given."""


class Arm(BaseModel):
    """What is known of one arm, or of a shadow."""

    model_config = ConfigDict(frozen=True)

    name: str
    shadow: bool
    share: float | None
    """As the experiment has it; none of a shadow."""
    answers: int
    """Errors count."""
    clients: int
    errors: int
    """Failures (5xx)."""
    given_up: int
    """Answers for which the client did not wait."""
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    labels: dict[str, float]
    """The share of each class among the predictions; empty where there is none."""
    confidence: float | None
    """The mean probability of the predicted class, of answers with feedback."""
    right: float | None
    """The share of these that are right: by answers, as the confidence is, and not by clients."""
    feedback: float | None
    """The share of predictions with feedback."""
    labeled: int
    """Predictions with feedback."""
    labeled_clients: int
    metrics: dict[str, Estimate | None]
    """Each with its 95 % confidence sequence."""
    missing: dict[str, str]
    """What a metric that is none still lacks."""
    ece: float | None
    nll: float | None


def asked(answers: Answers, name: str, shadow: bool) -> Answers:
    """All that an arm, or a shadow, was asked; errors, too."""
    return answers.take((answers.versions == name) & ((answers.shadow_of != "") == shadow))


def seen_by(answers: Answers, arm: str) -> Answers:
    """What clients saw of an arm."""
    return asked(answers, arm, shadow=False)


def pairs(answers: Answers, shadow: str, reference: str) -> tuple[Answers, Answers]:
    """The predictions of `shadow`, and those of `reference` that clients saw of the same pictures, row by row."""
    rows = {name: row for row, name in enumerate(answers.ids.tolist())}
    usable, versions = answers.answered, answers.versions
    ours, theirs = [], []
    for row in np.flatnonzero((versions == shadow) & (answers.shadow_of != "") & usable):
        other = rows.get(str(answers.shadow_of[row]))
        if other is not None and versions[other] == reference and usable[other]:
            ours.append(row)
            theirs.append(other)
    return answers.take(np.array(ours, dtype=int)), answers.take(np.array(theirs, dtype=int))


def arm_of(experiment: Experiment, answers: Answers, name: str) -> Arm:
    """What is known of the arm, or the shadow, `name`."""
    shadow = name in experiment.shadows
    own = asked(answers, name, shadow)
    predictions, labeled = own.take(own.answered), own.take(own.labeled)
    clients = Clients.of(labeled.clients, labeled.truth, labeled.predicted)
    estimates = {metric: estimate(clients, metric) for metric in METRICS}
    counts = np.bincount(predictions.predicted, minlength=len(CLASSES))
    calibration = reliability(labeled.truth, labeled.probabilities) if len(labeled) >= LEAST_CALIBRATED else None
    times = [float(value) for value in np.quantile(predictions.latencies, [0.5, 0.99])] if len(predictions) else None
    return Arm(
        name=name,
        shadow=shadow,
        share=None if shadow else experiment.arms[name],
        answers=len(own),
        clients=len(set(own.clients.tolist())),
        errors=int((own.statuses >= 500).sum()),
        given_up=int((own.statuses == GIVEN_UP).sum()),
        latency_p50_ms=times and times[0],
        latency_p99_ms=times and times[1],
        labels={k: float(n / len(predictions)) for k, n in zip(CLASSES, counts, strict=True) if len(predictions)},
        confidence=float(labeled.probabilities.max(1).mean()) if len(labeled) else None,
        right=float((labeled.predicted == labeled.truth).mean()) if len(labeled) else None,
        feedback=len(labeled) / len(predictions) if len(predictions) else None,
        labeled=len(labeled),
        labeled_clients=len(clients),
        metrics=estimates,
        missing={metric: missing(metric, [clients]) for metric in METRICS if estimates[metric] is None},
        ece=calibration and calibration.ece,
        nll=calibration and calibration.nll,
    )


def feedback_shares(experiment: Experiment, seen: Answers) -> dict[str, dict[str, float | None]]:
    """By arm: the share of what clients saw that has feedback, by predicted class."""
    shares: dict[str, dict[str, float | None]] = {}
    for arm in experiment.arms:
        own = seen.take((seen.versions == arm) & seen.answered)
        of_class = {name: own.truth[own.predicted == number] >= 0 for number, name in enumerate(CLASSES)}
        shares[arm] = {name: float(known.mean()) if len(known) else None for name, known in of_class.items()}
    return shares
