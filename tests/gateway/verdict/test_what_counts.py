"""What counts in a verdict: all comparisons at once, failures of shadows, a client's first arm, each answer once."""

from pathlib import Path

import pytest

from gateway.experiments.experiment import Earlier, Experiment
from gateway.verdict.answers import of_experiment
from gateway.verdict.estimates import Estimate
from gateway.verdict.sequences import ALPHA
from gateway.verdict.verdict import UNDER_WAY, Verdict, judge
from tests.gateway.verdict.rows import STARTED, answer, database, feedback, trial, write

ARMS = {"baseline": 0.5, "transfer": 0.5}


def verdict(folder: Path, **others: object) -> Verdict:
    of = Experiment.model_validate({"name": "trial", "started": STARTED, "arms": ARMS} | others)
    return judge(of, of_experiment(database(folder / "events.sqlite"), of), "phantom-demo")


def test_intervals_of_several_comparisons_hold_at_once(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 600, {"baseline": 0.6, "transfer": 0.8}, {"views": 0.7})
    for shadows in ((), ("views",)):
        comparisons = verdict(tmp_path, shadows=shadows).comparisons
        estimates = [one.differences["accuracy"] for one in comparisons]
        assert [one and one.alpha for one in estimates] == [ALPHA / (1 + len(shadows))] * (1 + len(shadows))


def test_better_wins_before_no_worse(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 600, {"baseline": 0.6, "transfer": 0.8}, {"views": 0.7})
    both = verdict(tmp_path, shadows=("views",))
    arm, shadow = both.comparisons

    def of(value: float) -> dict[str, Estimate | None]:
        one = Estimate(value=value, interval=(value - 0.1, value + 0.1), variance=1, clients=100, alpha=ALPHA)
        return {"accuracy": one}

    metric = both.experiment.model_copy(update={"metric": "accuracy"})
    arm = arm.model_copy(update={"conclusion": "better", "differences": of(0.02)})
    shadow = shadow.model_copy(update={"conclusion": "no worse", "differences": of(0.05)})
    assert both.model_copy(update={"comparisons": [shadow, arm], "experiment": metric}).winner == "transfer"


def test_a_shadow_that_fails_is_named(tmp_path: Path) -> None:
    rows = []
    for number in range(400):
        rows.append(answer(number, ("baseline", "transfer")[number % 2], f"{number}", 4))
        label = None if number % 4 == 0 else 4
        rows.append(answer(1000 + number, "views", f"{number}", label, shadow_of=rows[-1]["id"], time=STARTED + number))
    write(database(tmp_path / "events.sqlite"), rows, [])
    lines = verdict(tmp_path, shadows=("views",)).warnings
    assert any(line.startswith("views fails more often than baseline (+0.25") for line in lines)


def test_a_client_counts_for_its_first_arm_once_what_was_under_way_has_come(tmp_path: Path) -> None:
    changed = STARTED + 1000
    of = {"earlier": (Earlier(arms={"baseline": 0.9, "transfer": 0.1}, until=changed),)}
    times = {
        "early": [(changed - 1, "baseline"), (changed + 100, "transfer")],
        "under way": [(changed + UNDER_WAY - 1, "transfer")],
        "late": [(changed + UNDER_WAY, "baseline"), (changed + 200, "transfer")],
        "later": [(changed + UNDER_WAY + 1, "transfer")],
    }
    rows = [(time, arm, client) for client, answers in times.items() for time, arm in answers]
    write(
        database(tmp_path / "events.sqlite"),
        [answer(number, arm, client, 4, time=time) for number, (time, arm, client) in enumerate(rows)],
        [],
    )
    assert verdict(tmp_path, **of).clients_by_arm == {"baseline": 1, "transfer": 1}


def test_failures_are_compared_within_periods(tmp_path: Path) -> None:
    # Later, everything fails more often, and transfer has more clients then: it fails no more often itself.
    rows = []
    for number in range(1600):
        later = number >= 800
        arm = "transfer" if number % 10 < (5 if later else 1) else "baseline"
        failed = later and number % 4 < 2 and number % 20 < 10
        rows.append(answer(number, arm, f"{number}", None if failed else 4))
    write(database(tmp_path / "events.sqlite"), rows, [])
    earlier = Earlier(arms={"baseline": 0.9, "transfer": 0.1}, until=STARTED + 800)
    [estimate] = verdict(tmp_path, earlier=(earlier,)).failure_differences.values()
    [apart] = verdict(tmp_path).failure_differences.values()
    assert estimate is not None
    assert apart is not None
    assert abs(estimate.value) < 0.05 < apart.value


def test_confidence_and_right_answers_are_both_by_answers(tmp_path: Path) -> None:
    # One clinic with many right answers, and as many phones, most of which are wrong.
    rows = [answer(number, "baseline", "clinic", 4) for number in range(180)]
    rows += [answer(180 + number, "baseline", f"phone {number}", 4) for number in range(20)]
    write(database(tmp_path / "events.sqlite"), rows, [feedback(n, 4 if n < 160 else 5) for n in range(200)])
    arm = verdict(tmp_path).arms[0]
    assert arm.confidence == pytest.approx(0.8)
    assert arm.right == pytest.approx(0.8)
    assert arm.metrics["accuracy"] is not None
    assert arm.metrics["accuracy"].value < 0.1
    assert arm.ece == pytest.approx(0, abs=1e-4)
