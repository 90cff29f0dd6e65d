from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drift.answers import last_time, of_version, versions
from gateway.experiments.experiment import Experiment, Removal
from gateway.verdict.answers import of_experiment
from gateway.verdict.balance import LEVEL, evidence, is_wrong
from gateway.verdict.estimates import Estimate
from gateway.verdict.page import page, table
from gateway.verdict.verdict import Verdict, conclude, in_words, judge
from tests.gateway.verdict.rows import STARTED, answer, database, feedback, trial, write
from zoo.study import Folders

ARMS = {"baseline": 0.5, "transfer": 0.5}


def experiment(**others: object) -> Experiment:
    return Experiment.model_validate({"name": "trial", "started": STARTED, "arms": ARMS} | others)


def looked_at(folder: Path, of: Experiment | None = None) -> Verdict:
    of = of or experiment()
    return judge(of, of_experiment(database(folder / "events.sqlite"), of), "phantom-demo")


def test_a_better_arm_and_a_better_shadow_are_shown(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 3000, {"baseline": 0.6, "transfer": 0.8}, {"projected_2": 0.7})
    verdict = looked_at(tmp_path, experiment(shadows=("projected_2",)))
    arm, shadow = verdict.comparisons
    assert (arm.arm, arm.conclusion, arm.paired) == ("transfer", "better", False)
    assert (shadow.arm, shadow.conclusion, shadow.paired) == ("projected_2", "better", True)
    assert shadow.differing == pytest.approx(0.6 * 0.3 + 0.4 * 0.7, abs=0.05)
    assert shadow.pairs == pytest.approx(1500, abs=100)
    assert verdict.winner == "transfer"
    assert not verdict.warnings
    baseline = verdict.arms[0]
    assert baseline.metrics["accuracy"] is not None
    assert baseline.metrics["accuracy"].value == pytest.approx(0.6, abs=0.03)
    assert baseline.ece == pytest.approx(0.2, abs=0.03), "it is always 0.8 sure"
    assert baseline.feedback == 1
    assert [one.name for one in verdict.arms] == ["baseline", "transfer", "projected_2"]


def test_equal_arms_are_no_worse_after_many_answers_and_not_yet_after_few(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 400, {"baseline": 0.8, "transfer": 0.8})
    [early] = looked_at(tmp_path).comparisons
    assert early.conclusion == "not yet"
    assert early.more_answers is not None
    assert early.more_answers > 400
    [wide] = looked_at(tmp_path, experiment(smallest_difference=0.3)).comparisons
    assert wide.conclusion == "no worse"
    assert in_words(wide.conclusion, 0.3) == "shown no worse by more than 0.3"


def test_a_worse_arm_leaves_the_reference_the_winner(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 2000, {"baseline": 0.9, "transfer": 0.6})
    verdict = looked_at(tmp_path)
    assert [one.conclusion for one in verdict.comparisons] == ["worse"]
    assert verdict.winner == "baseline"


def test_an_experiment_without_answers_or_feedback_says_what_it_lacks(tmp_path: Path) -> None:
    engine = database(tmp_path / "events.sqlite")
    assert looked_at(tmp_path).winner is None
    trial(engine, 100, {"baseline": 0.9, "transfer": 0.6}, labeled=0)
    verdict = looked_at(tmp_path)
    [comparison] = verdict.comparisons
    assert comparison.conclusion == "not yet"
    assert comparison.missing["accuracy"] == "0 of 20 clients with feedback"
    assert verdict.arms[0].feedback == 0
    assert verdict.feedback["baseline"]["mel"] == 0


def test_a_page_of_no_answers_of_errors_alone_and_of_a_removal_is_written(tmp_path: Path) -> None:
    engine, folders = database(tmp_path / "events.sqlite"), Folders("tests", tmp_path)
    removed = {"transfer": Removal(time=STARTED, reason="<b>6 of 100</b> answers failed")}
    one = experiment(shadows=("views",), removed=removed)
    for rows in ([], [answer(0, "transfer", "a", None)], [answer(1, "baseline", "b", 4)]):
        write(engine, rows, [feedback(1, 4)] if rows else [])
        answers = of_experiment(engine, one)
        verdict = judge(one, answers, "tests")
        text = page(verdict, answers, folders).read_text()
        assert "0 of 20 clients with feedback" in text
        assert "<b>6 of 100" not in text
        assert "&lt;b&gt;6 of 100" in text
        assert table(verdict).row_count == 3


def test_of_several_labels_the_last_counts_and_contradictions_are_counted(tmp_path: Path) -> None:
    engine = database(tmp_path / "events.sqlite")
    rows = [answer(number, "baseline", f"{number}", 4) for number in range(3)]
    labels = [feedback(0, 4), feedback(0, 5), feedback(1, 5), feedback(1, 5), feedback(2, 5), feedback(2, 4)]
    write(engine, rows, labels)
    answers = of_experiment(engine, experiment())
    assert answers.truth.tolist() == [5, 5, 4]
    assert answers.contradictions == 2
    assert any("2 answers" in line for line in looked_at(tmp_path).warnings)


def test_errors_and_feedback_for_them_are_no_predictions(tmp_path: Path) -> None:
    write(database(tmp_path / "events.sqlite"), [answer(0, "baseline", "a", None)], [feedback(0, 4)])
    [arm, _] = looked_at(tmp_path).arms
    assert (arm.answers, arm.errors, arm.labeled, arm.labels) == (1, 1, 0, {})


def test_other_experiments_and_earlier_ones_of_the_same_name_do_not_count(tmp_path: Path) -> None:
    rows = [
        answer(0, "baseline", "a", 4, experiment="other"),
        answer(1, "baseline", "b", 4, experiment=None),
        answer(2, "baseline", "c", 4, time=STARTED - 1),
        answer(3, "baseline", "d", 4),
        answer(4, "", "e", None, experiment=None),  # a failure of the default version
        answer(5, "transfer", "f", None, experiment=None),
        answer(6, "views", "g", 4, experiment=None, time=STARTED - 10),
    ]
    engine = database(tmp_path / "events.sqlite")
    write(engine, rows, [])
    assert of_experiment(engine, experiment()).clients.tolist() == ["d"]
    assert len(of_version(engine, "baseline", STARTED, STARTED + 10).times) == 3
    assert versions(engine, STARTED - 1, STARTED + 10) == ["baseline"]
    assert versions(engine, STARTED - 10, STARTED) == ["baseline", "views"]
    assert last_time(engine) == STARTED + 3


def test_a_shadow_is_paired_with_what_clients_of_the_reference_saw(tmp_path: Path) -> None:
    rows = [
        answer(0, "baseline", "a", 4),
        answer(1, "transfer", "b", 4),
        answer(2, "projected_2", "a", 5, shadow_of=f"{0:032x}"),
        answer(3, "projected_2", "b", 5, shadow_of=f"{1:032x}"),
        answer(4, "projected_2", "c", 5, shadow_of=f"{99:032x}"),
        answer(5, "baseline", "d", None),
        answer(6, "projected_2", "d", 5, shadow_of=f"{5:032x}"),
    ]
    write(database(tmp_path / "events.sqlite"), rows, [feedback(0, 5)])
    shadow = looked_at(tmp_path, experiment(shadows=("projected_2",))).comparison("projected_2")
    assert shadow is not None
    assert (shadow.pairs, shadow.labeled, shadow.differing) == (1, 1, 1)


def test_arms_whose_clients_are_not_by_their_shares_are_named(tmp_path: Path) -> None:
    trial(database(tmp_path / "events.sqlite"), 600, {"baseline": 0.8, "transfer": 0.8}, share=0.35)
    assert looked_at(tmp_path).wrong_shares
    assert not looked_at(tmp_path, experiment(arms={"baseline": 0.65, "transfer": 0.35})).wrong_shares
    removed = {"transfer": Removal(time=STARTED, reason="errors")}  # later clients had no choice
    verdict = looked_at(tmp_path, experiment(removed=removed))
    assert not verdict.wrong_shares
    assert "transfer was taken out: errors" in verdict.warnings


def test_feedback_that_one_arm_lacks_is_named(tmp_path: Path) -> None:
    engine = database(tmp_path / "events.sqlite")
    rows = [answer(number, ("baseline", "transfer")[number % 2], f"{number}", 4) for number in range(800)]
    write(engine, rows, [feedback(number, 4) for number in range(800) if number % 2 or number % 8 == 0])
    verdict = looked_at(tmp_path)
    assert any("transfer's clients send feedback" in line for line in verdict.warnings)
    assert verdict.feedback["transfer"]["mel"] == 1
    assert verdict.feedback["transfer"]["nv"] is None


def test_right_shares_are_seldom_ever_called_wrong_and_wrong_ones_soon() -> None:
    random, shares = np.random.default_rng(0), {"a": 0.7, "b": 0.2, "c": 0.1}
    alarms = 0
    for _ in range(300):
        counts = np.cumsum(np.eye(3)[random.choice(3, 1000, p=list(shares.values()))], axis=0).astype(int)
        looks = (dict(zip(shares, row, strict=True)) for row in counts[::20].tolist())
        alarms += any(is_wrong(look, shares) for look in looks)
    assert alarms / 300 <= 3 * LEVEL
    assert is_wrong({"a": 560, "b": 250, "c": 190}, shares)
    assert is_wrong({"a": 1, "b": 1}, {"a": 1.0, "b": 0.0})
    assert not is_wrong({"a": 100, "b": 0}, {"a": 1.0, "b": 0.0})


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=2), st.floats(0.01, 0.99))
def test_the_evidence_of_any_counts_is_a_number(counts: list[int], share: float) -> None:
    assert np.isfinite(evidence({"a": counts[0], "b": counts[1]}, {"a": share, "b": 1 - share}))


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5))
def test_a_conclusion_is_what_its_interval_says(value: float, half: float, smallest: float) -> None:
    one = Estimate(value=value, interval=(value - half, value + half), variance=half, clients=100, alpha=0.05)
    low, high = one.interval
    shown = conclude(one, smallest)
    assert (shown == "better") == (low > 0)
    assert (shown == "worse") == (high < 0)
    assert (shown == "no worse") == (-smallest < low <= 0 <= high)
    assert conclude(None, smallest) == "not yet"
