"""The verdict on an experiment at one look: its arms, their comparisons with the reference, and what casts doubt."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gateway.experiments.experiment import Experiment
from gateway.verdict import balance
from gateway.verdict.answers import Answers
from gateway.verdict.clients import Clients
from gateway.verdict.estimates import Estimate, difference, missing
from gateway.verdict.metrics import METRICS
from gateway.verdict.sequences import ALPHA, clients_needed
from gateway.verdict.sides import Arm, arm_of, feedback_shares, pairs, seen_by

Conclusion = Literal["better", "no worse", "worse", "not yet"]


class Comparison(BaseModel):
    """An arm, or a shadow, against the reference."""

    model_config = ConfigDict(frozen=True)

    arm: str
    reference: str
    paired: bool
    """Whether both answered the same pictures: a shadow, and what clients of the reference saw."""
    differing: float | None
    """How often their labels of the same picture differ; none where they are not paired."""
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
        for arm, estimate in self.feedback_differences.items():
            if estimate and not estimate.interval[0] <= 0 <= estimate.interval[1]:
                lines.append(
                    f"{arm}'s clients send feedback more often or less often than the reference's "
                    f"({estimate.value:+.3f}): what is missing may not be missing by chance"
                )
        if self.contradictions:
            lines.append(f"{self.contradictions:,} answers have feedback of more than one class; the last counts")
        if self.lost:
            lines.append(f"{self.lost:,} events were lost, and are missing here: make logs says why")
        lines += [f"{arm} was taken out: {removal.reason}" for arm, removal in self.experiment.removed.items()]
        return lines

    def comparison(self, arm: str) -> Comparison | None:
        """That of an arm with the reference, if there is one."""
        return next((comparison for comparison in self.comparisons if comparison.arm == arm), None)

    def _value(self, comparison: Comparison) -> float:
        estimate = comparison.differences[self.experiment.metric]
        return estimate.value if estimate else 0.0


def judge(experiment: Experiment, answers: Answers, study: str) -> Verdict:
    """Look at an experiment's `answers`."""
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
            arm: difference(_having_feedback(seen, arm), _having_feedback(seen, reference), "accuracy")
            for arm in experiment.arms
            if arm != reference
        },
        contradictions=answers.contradictions,
        lost=answers.lost,
    )


def compare(experiment: Experiment, answers: Answers) -> list[Comparison]:
    """Every arm and shadow against the reference. All intervals hold at once, for each metric (Bonferroni)."""
    others = [*list(experiment.arms)[1:], *experiment.shadows]
    return [_comparison(experiment, answers, other, ALPHA / len(others)) for other in others]


def conclude(estimate: Estimate | None, smallest_difference: float) -> Conclusion:
    """What a difference shows: an interval on one side of 0, or above `-smallest_difference`."""
    if estimate is None:
        return "not yet"
    low, high = estimate.interval
    if low > 0:
        return "better"
    if low > -smallest_difference:
        return "no worse"
    return "worse" if high < 0 else "not yet"


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


def clients(answers: Answers) -> Clients:
    """The clients of the answers with feedback."""
    rows = answers.take(answers.labeled)
    return Clients.of(rows.clients, rows.truth, rows.predicted)


def _comparison(experiment: Experiment, answers: Answers, arm: str, alpha: float) -> Comparison:
    ours, theirs = sides(experiment, answers, arm)
    paired = arm in experiment.shadows
    differing = float((ours.predicted != theirs.predicted).mean()) if paired and len(ours) else None
    if paired:
        both = ours.labeled & theirs.labeled
        ours, theirs = ours.take(both), theirs.take(both)
    of_clients = clients(ours), clients(theirs)
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


def _more_answers(estimate: Estimate | None, smallest_difference: float, labeled: int) -> int | None:
    if estimate is None:
        return None
    target = max(estimate.value + smallest_difference, -estimate.value)
    needed = clients_needed(estimate.variance, estimate.clients, target, estimate.alpha) if target > 0 else None
    return None if needed is None else max(1, round(labeled * (needed / estimate.clients - 1)))


def _having_feedback(seen: Answers, arm: str) -> Clients:
    """The clients of an arm, "right" where an answer has feedback."""
    rows = seen.take((seen.versions == arm) & seen.answered)
    return Clients.of(rows.clients, rows.truth * 0, (rows.truth < 0).astype(int))


def _clients_by_arm(experiment: Experiment, seen: Answers) -> Mapping[str, int]:
    """How many clients came first to each arm, while the present shares held and no arm was taken out."""
    since = experiment.started if experiment.changed is None else experiment.changed
    until = min((removal.time for removal in experiment.removed.values()), default=float("inf"))
    first: dict[str, int] = {}
    for row, client in enumerate(seen.clients.tolist()):  # by time
        first.setdefault(client, row)
    counts = dict.fromkeys(experiment.arms, 0)
    for row in first.values():
        if since <= seen.times[row] < until and seen.versions[row] in counts:
            counts[str(seen.versions[row])] += 1
    return counts
