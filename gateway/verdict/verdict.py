"""The verdict on an experiment at one look: its arms, their comparisons with the reference, and what casts doubt."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from gateway.experiments.experiment import Experiment
from gateway.verdict import balance
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.estimates import Estimate, difference, missing
from gateway.verdict.metrics import METRICS
from gateway.verdict.periods import matched
from gateway.verdict.sequences import ALPHA, clients_needed
from gateway.verdict.sides import Arm, arm_of, asked, feedback_shares, pairs, seen_by
from lesions.labels import CLASSES
from lesions.sources.left_out import counted

UNDER_WAY = 60.0
"""Seconds that an answer takes at most (`gateway.ask.SECONDS`)."""
Conclusion = Literal["better", "no worse", "worse", "not yet"]


class Comparison(BaseModel):
    """An arm, or a shadow, against the reference."""

    model_config = ConfigDict(frozen=True)

    arm: str
    reference: str
    paired: bool
    """Whether both answered the same pictures: a shadow, and what clients of the reference saw."""
    differing: float | None
    """How often their labels of the same picture differ; of arms, how often at least, by the shares of their labels."""
    pairs: int
    labeled: int
    """Answers with feedback, of both; pairs count once."""
    differences: dict[str, Estimate | None]
    """The arm's metric less the reference's, by metric; none where `missing` says why."""
    missing: dict[str, str]
    conclusion: Conclusion
    """By the experiment's metric."""
    more_answers: int | None
    """About how many more answers with feedback lead to a conclusion, if the difference stays as it is."""


class Verdict(BaseModel):
    """All figures of an experiment's page."""

    model_config = ConfigDict(frozen=True)

    experiment: Experiment
    study: str
    made: str
    """When (ISO 8601, UTC)."""
    answers: int
    """Of arms, which clients saw; errors count."""
    arms: list[Arm]
    """The arms, the reference first, then the shadows."""
    comparisons: list[Comparison]
    clients_by_arm: dict[str, int]
    """Clients that were assigned by the present shares, each to the arm of its first answer."""
    wrong_shares: bool
    """Whether these are not by the arms' shares."""
    feedback: dict[str, dict[str, float | None]]
    """By arm: the share of answers with feedback by predicted class; none without any such answer."""
    feedback_differences: dict[str, Estimate | None]
    """By arm: its clients' share of answers with feedback, less the reference's."""
    failure_differences: dict[str, Estimate | None]
    """By arm and shadow: its share of failures, and of answers for which nobody waited, less the reference's."""
    retrained: list[str]
    """Versions whose archive is not the one that the experiment began with."""
    unknown: list[str]
    """Versions of which it is not known, since they were not served when it began."""
    contradictions: int
    """Answers with feedback of more than one class: the last counts."""
    lost: int
    """Events that could not be written."""

    @property
    def winner(self) -> str | None:
        """What is shown to be better than the reference, or else no worse, by the largest difference.

        The reference where all others are shown to be worse; none where nothing is shown.
        """
        for conclusion in ("better", "no worse"):
            shown = {c.arm: self._value(c) for c in self.comparisons if c.conclusion == conclusion}
            if shown:
                return max(sorted(shown), key=shown.__getitem__)
        worse = all(comparison.conclusion == "worse" for comparison in self.comparisons)
        return self.experiment.reference if self.comparisons and worse else None

    @property
    def warnings(self) -> list[str]:
        """Lines for people: what speaks against trusting the comparisons."""
        lines = []
        if self.wrong_shares:
            counts = ", ".join(f"{arm} {n:,}" for arm, n in self.clients_by_arm.items())
            lines.append(f"the arms' clients are not by their shares ({counts}): find out why, before all else")
        for arm in self.retrained:
            lines.append(f"{arm} was trained anew since the experiment began: its answers are of two networks")
        if self.unknown:
            line = f"the weights of {', '.join(self.unknown)} are not noted: nobody sees whether they were trained anew"
            advice = "; give make experiment again while they are served"
            lines.append(line + (advice if self.experiment.ended is None else ""))
        for arm, estimate in self.failure_differences.items():
            if estimate and estimate.interval[0] > 0:
                lines.append(
                    f"{arm} fails more often than {self.experiment.reference} ({estimate.value:+.3f}): pictures at "
                    "which it fails have no label, so it may look better than it is"
                )
        for arm, estimate in self.feedback_differences.items():
            if estimate and not estimate.interval[0] <= 0 <= estimate.interval[1]:
                lines.append(
                    f"{arm}'s clients send feedback more often or less often than the reference's "
                    f"({estimate.value:+.3f}): what is missing may not be missing by chance"
                )
        if self.contradictions:
            lines.append(
                f"feedback of more than one class, of which the last counts: {counted(self.contradictions, 'answer')}"
            )
        if self.lost:
            lines.append(f"lost, and missing here: {counted(self.lost, 'event')}; make logs says why")
        lines += [f"{arm} was taken out: {removal.reason}" for arm, removal in self.experiment.removed.items()]
        return lines

    def comparison(self, arm: str) -> Comparison | None:
        """That of an arm with the reference, if there is one."""
        return next((comparison for comparison in self.comparisons if comparison.arm == arm), None)

    def _value(self, comparison: Comparison) -> float:
        estimate = comparison.differences[self.experiment.metric]
        return estimate.value if estimate else 0.0


def judge(
    experiment: Experiment, answers: Answers, study: str, retrained: Sequence[str] = (), unknown: Sequence[str] = ()
) -> Verdict:
    """Look at an experiment's `answers`.

    `retrained` are versions that are no longer those that it began with, and `unknown` those of which nobody knows.
    """
    seen = answers.take(answers.shadow_of == "")
    reference = experiment.reference
    shares = feedback_shares(experiment, seen)
    counts = _clients_by_arm(experiment, seen)
    return Verdict(
        experiment=experiment,
        study=study,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        answers=len(seen),
        arms=[arm_of(experiment, answers, name) for name in (*experiment.arms, *experiment.shadows)],
        comparisons=compare(experiment, answers),
        clients_by_arm=counts,
        wrong_shares=balance.is_wrong(counts, experiment.arms),
        feedback=shares,
        feedback_differences={
            arm: difference(*matched(experiment, _of(seen, arm), _of(seen, reference), _having_feedback), "accuracy")
            for arm in experiment.arms
            if arm != reference
        },
        failure_differences={
            name: difference(
                *matched(experiment, asked(answers, name, shadow), asked(answers, reference, False), _failing),
                "accuracy",
            )
            for names, shadow in ((experiment.arms, False), (experiment.shadows, True))
            for name in names
            if name != reference
        },
        retrained=list(retrained),
        unknown=list(unknown),
        contradictions=answers.contradictions,
        lost=answers.lost,
    )


def compare(experiment: Experiment, answers: Answers) -> list[Comparison]:
    """Every arm and shadow against the reference. All intervals hold at once, for each metric (Bonferroni)."""
    others = [*list(experiment.arms)[1:], *experiment.shadows]
    return [_comparison(experiment, answers, other, ALPHA / len(others)) for other in others]


def conclude(estimate: Estimate | None, smallest_difference: float) -> Conclusion:
    """What a difference shows: an interval on one side of 0, or around it and above `-smallest_difference`."""
    if estimate is None:
        return "not yet"
    low, high = estimate.interval
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "no worse" if low > -smallest_difference else "not yet"


def in_words(conclusion: Conclusion, smallest_difference: float) -> str:
    """A conclusion as people read it."""
    return {
        "better": "shown better",
        "no worse": f"shown no worse by more than {smallest_difference:g}",
        "worse": "shown worse",
        "not yet": "not yet",
    }[conclusion]


def sides(experiment: Experiment, answers: Answers, arm: str) -> tuple[Answers, Answers]:
    """The answers by which `arm` and the reference are compared: of a shadow, those of the same pictures."""
    if arm in experiment.shadows:
        return pairs(answers, arm, experiment.reference)
    return seen_by(answers, arm), seen_by(answers, experiment.reference)


def clients(experiment: Experiment, ours: Answers, theirs: Answers, paired: bool) -> tuple[Clients, Clients]:
    """The clients with feedback of both sides of a comparison. Pairs are of the same time by themselves."""
    return (_labeled(ours), _labeled(theirs)) if paired else matched(experiment, ours, theirs, _labeled)


def _comparison(experiment: Experiment, answers: Answers, arm: str, alpha: float) -> Comparison:
    ours, theirs = sides(experiment, answers, arm)
    paired = arm in experiment.shadows
    differing = _differing(ours, theirs, paired)
    if paired:
        both = ours.labeled & theirs.labeled
        ours, theirs = ours.take(both), theirs.take(both)
    of_clients = clients(experiment, ours, theirs, paired)
    differences = {metric: difference(*of_clients, metric, alpha) for metric in METRICS}
    labeled = int(ours.labeled.sum()) + (0 if paired else int(theirs.labeled.sum()))
    chosen = differences[experiment.metric]
    conclusion = conclude(chosen, experiment.smallest_difference)
    return Comparison(
        arm=arm,
        reference=experiment.reference,
        paired=paired,
        differing=differing,
        pairs=len(ours) if paired else 0,
        labeled=labeled,
        differences=differences,
        missing={metric: missing(metric, of_clients) for metric in METRICS if differences[metric] is None},
        conclusion=conclusion,
        more_answers=_more_answers(chosen, experiment.smallest_difference, labeled)
        if conclusion == "not yet"
        else None,
    )


def _differing(ours: Answers, theirs: Answers, paired: bool) -> float | None:
    """How often labels differ; of arms, the total variation distance of what they predict."""
    ours, theirs = ours.take(ours.answered), theirs.take(theirs.answered)
    if not (len(ours) and len(theirs)):
        return None
    if paired:
        return float((ours.predicted != theirs.predicted).mean())
    shares = [np.bincount(side.predicted, minlength=len(CLASSES)) / len(side) for side in (ours, theirs)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _more_answers(estimate: Estimate | None, smallest_difference: float, labeled: int) -> int | None:
    if estimate is None:
        return None
    target = max(estimate.value + smallest_difference, -estimate.value)
    needed = clients_needed(estimate.variance, estimate.clients, target, estimate.alpha) if target > 0 else None
    return None if needed is None else max(1, round(labeled * (needed / estimate.clients - 1)))


def _labeled(answers: Answers) -> Clients:
    rows = answers.take(answers.labeled)
    return Clients.of(rows.clients, rows.truth, rows.predicted)


def _of(seen: Answers, arm: str) -> Answers:
    """What an arm answered, without errors."""
    return seen.take((seen.versions == arm) & seen.answered)


def _having_feedback(rows: Answers) -> Clients:
    """The clients of answers, "right" where an answer has feedback."""
    return Clients.of(rows.clients, rows.truth * 0, (rows.truth < 0).astype(int))


def _failing(rows: Answers) -> Clients:
    """The clients of what was asked, "right" where there was no answer."""
    return Clients.of(rows.clients, rows.truth * 0, rows.answered.astype(int))


def _clients_by_arm(experiment: Experiment, seen: Answers) -> Mapping[str, int]:
    """How many clients came first to each arm, while the present shares held and no arm was taken out."""
    # For a while after a change, answers come that were under way.
    since = experiment.changed + UNDER_WAY if experiment.earlier else experiment.started
    until = min((removal.time for removal in experiment.removed.values()), default=float("inf"))
    first: dict[str, int] = {}
    for row, client in enumerate(seen.clients.tolist()):  # by time
        first.setdefault(client, row)
    counts = dict.fromkeys(experiment.arms, 0)
    for row in first.values():
        if since <= seen.times[row] < until and seen.versions[row] in counts:
            counts[str(seen.versions[row])] += 1
    return counts
