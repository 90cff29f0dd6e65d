"""An experiment's winner becomes champion, and the one before it comes back."""

import json
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.events.database import connect, database_url
from gateway.events.tables import ANSWERS
from gateway.experiments import files
from gateway.experiments.experiment import Experiment, Removal
from gateway.verdict import promotion
from gateway.verdict.answers import of_experiment
from gateway.verdict.verdict import Verdict, judge
from tests.gateway.verdict.rows import STARTED, answer, database, feedback, trial, write
from zoo.serving import champion
from zoo.serving.champion import ChampionError
from zoo.serving.runtime import Server
from zoo.study import Folders, Study


class Serving:
    """Two versions, as a server has them."""

    def __init__(self) -> None:
        self.made_default: list[str] = []

    def versions(self, model: str) -> list[str]:
        return ["baseline", "transfer"]

    def describe(self, model: str, version: str) -> dict[str, Any]:
        return {"weights_sha256": f"weights of {version}", "scores": {"valid": {"macro_f1": 0.5}}}

    def set_default(self, model: str, version: str) -> None:
        self.made_default.append(version)

    def connect(self, folder: Path) -> "Serving":
        return self

    def close(self) -> None:
        pass

    @property
    def server(self) -> Server:
        return cast("Server", self)


@pytest.fixture
def serving() -> Serving:
    return Serving()


def verdict_of(folder: Path, transfer: float, **others: object) -> Verdict:
    """Of an experiment in which baseline is right in 0.6 of 2,000 answers, and transfer so often."""
    file = folder / "events.sqlite"
    engine = database(file)
    trial(engine, 2000, {"baseline": 0.6, "transfer": transfer})
    fields = {"name": "trial", "started": STARTED, "arms": {"baseline": 0.5, "transfer": 0.5}} | others
    experiment = Experiment.model_validate(fields)
    return judge(experiment, of_experiment(engine, experiment), "tests")


def pack(archives: Path, entry: str, weights: str = "") -> None:
    with zipfile.ZipFile(archives / f"{entry}.mar", "w") as archive:
        archive.writestr("entry.json", json.dumps({"weights_sha256": weights or f"weights of {entry}"}))


def test_the_winner_is_promoted_with_what_was_shown(tmp_path: Path, serving: Serving) -> None:
    promoted = promotion.promote(serving.server, tmp_path, verdict_of(tmp_path, 0.8))
    assert serving.made_default == ["transfer"]
    assert champion.current(tmp_path) == promoted
    evidence = promoted.evidence
    assert evidence is not None
    assert (evidence.experiment, evidence.reference, evidence.conclusion) == ("trial", "baseline", "shown better")
    assert evidence.difference == pytest.approx(0.2, abs=0.05)
    assert evidence.difference_interval is not None
    assert evidence.difference_interval[0] > 0
    assert evidence.labeled == 2000
    assert (promoted.forced, promoted.valid_macro_f1) == (None, 0.5)


def test_what_is_not_shown_is_refused_unless_forced(tmp_path: Path, serving: Serving) -> None:
    verdict = verdict_of(tmp_path, 0.6)
    with pytest.raises(ChampionError, match="nothing is shown yet; wait for more feedback"):
        promotion.promote(serving.server, tmp_path, verdict)
    with pytest.raises(ChampionError, match=r"transfer against baseline: not yet.*FORCE=1"):
        promotion.promote(serving.server, tmp_path, verdict, "transfer")
    with pytest.raises(ChampionError, match="views is no arm of trial; there are: baseline, transfer"):
        promotion.promote(serving.server, tmp_path, verdict, "views", force=True)
    assert serving.made_default == []
    forced = promotion.promote(serving.server, tmp_path, verdict, "transfer", force=True)
    assert forced.forced is not None
    assert "not yet" in forced.forced


def test_a_winner_in_doubt_is_refused(tmp_path: Path, serving: Serving) -> None:
    removed = {"transfer": Removal(time=STARTED + 5000, reason="6 of 100 answers failed")}
    verdict = verdict_of(tmp_path, 0.8, removed=removed)
    with pytest.raises(ChampionError, match="transfer was taken out of trial: 6 of 100"):
        promotion.promote(serving.server, tmp_path, verdict)
    with pytest.raises(ChampionError, match="not by its arms' shares"):
        promotion.promote(
            serving.server,
            tmp_path,
            verdict.model_copy(
                update={"wrong_shares": True, "experiment": verdict.experiment.model_copy(update={"removed": {}})}
            ),
        )


def test_a_winner_that_was_trained_anew_or_fails_more_often_is_refused(tmp_path: Path, serving: Serving) -> None:
    verdict = verdict_of(tmp_path, 0.8)
    for name in ("transfer", "baseline"):
        anew = verdict.model_copy(update={"retrained": [name]})
        assert any(f"{name} was trained anew" in line for line in anew.warnings)
        with pytest.raises(ChampionError, match=f"{name} was trained anew since trial began"):
            promotion.promote(serving.server, tmp_path, anew)
    engine = database(tmp_path / "failing.sqlite")
    trial(engine, 2000, {"baseline": 0.6, "transfer": 0.8})
    with engine.begin() as connection:  # one of ten answers
        own = (ANSWERS.c.arm == "transfer") & (ANSWERS.c.id.like("%5") | ANSWERS.c.id.like("%a"))
        connection.execute(update(ANSWERS).where(own).values(status=500, probabilities=None))
    failing = judge(verdict.experiment, of_experiment(engine, verdict.experiment), "tests")
    assert failing.winner == "transfer"
    assert any("transfer fails more often than baseline" in line for line in failing.warnings)
    with pytest.raises(ChampionError, match="transfer fails more often than baseline"):
        promotion.promote(serving.server, tmp_path, failing)
    assert serving.made_default == []


def test_a_few_failures_more_do_not_stop_a_winner(tmp_path: Path, serving: Serving) -> None:
    verdict = verdict_of(tmp_path, 0.8)
    engine = database(tmp_path / "failing.sqlite")
    trial(engine, 2000, {"baseline": 0.6, "transfer": 0.8})
    with engine.begin() as connection:  # some in a thousand
        own = (ANSWERS.c.arm == "transfer") & ANSWERS.c.id.like("%ff")
        connection.execute(update(ANSWERS).where(own).values(status=500, probabilities=None))
    failing = judge(verdict.experiment, of_experiment(engine, verdict.experiment), "tests")
    estimate = failing.failure_differences["transfer"]
    assert estimate is not None
    assert estimate.interval[0] < 0 < estimate.value
    assert promotion.promote(serving.server, tmp_path, failing).entry == "transfer"


def test_a_reference_s_labels_count_once(tmp_path: Path, serving: Serving) -> None:
    engine, arms = database(tmp_path / "events.sqlite"), ("baseline", "transfer", "views")
    rows = [answer(n, arms[n % 3], f"{n}", n // 3 % 7 if n % 3 == 0 else (n // 3 + 1) % 7) for n in range(900)]
    write(engine, rows, [feedback(n, n // 3 % 7) for n in range(900)])
    one = Experiment(name="trial", started=STARTED, arms=dict.fromkeys(arms, 1 / 3))
    promoted = promotion.promote(serving.server, tmp_path, judge(one, of_experiment(engine, one), "tests"))
    assert promoted.evidence is not None
    assert (promoted.entry, promoted.evidence.labeled) == ("baseline", 900)


def test_a_reference_wins_where_all_others_are_worse(tmp_path: Path, serving: Serving) -> None:
    promoted = promotion.promote(serving.server, tmp_path, verdict_of(tmp_path, 0.4))
    assert promoted.entry == "baseline"
    assert promoted.evidence is not None
    assert promoted.evidence.conclusion == "the reference; transfer shown worse"


def test_a_rollback_brings_the_one_before_back_and_never_what_was_rolled_back(tmp_path: Path, serving: Serving) -> None:
    for entry in ("baseline", "transfer"):
        pack(tmp_path, entry)
    with pytest.raises(ChampionError, match="no earlier champion"):
        promotion.roll_back(serving.server, tmp_path, "slow")
    promotion.promote(serving.server, tmp_path, verdict_of(tmp_path, 0.4))
    (tmp_path / "events.sqlite").unlink()
    promotion.promote(serving.server, tmp_path, verdict_of(tmp_path, 0.8))
    back = promotion.roll_back(serving.server, tmp_path, "slow")
    assert (back.entry, back.previous, back.rolled_back) == ("baseline", "transfer", "slow")
    assert serving.made_default == ["baseline", "transfer", "baseline"]
    assert [one.entry for one in champion.history(tmp_path)] == ["baseline", "transfer", "baseline"]
    with pytest.raises(ChampionError, match="no earlier champion"):
        promotion.roll_back(serving.server, tmp_path, "again")


def test_weights_that_nobody_judged_do_not_come_back_by_themselves(tmp_path: Path, serving: Serving) -> None:
    for transfer in (0.4, 0.8):
        promotion.promote(serving.server, tmp_path, verdict_of(tmp_path, transfer))
        (tmp_path / "events.sqlite").unlink()
    pack(tmp_path, "baseline", "other weights")
    with pytest.raises(ChampionError, match="baseline was trained anew since"):
        promotion.roll_back(serving.server, tmp_path, "slow")
    assert promotion.roll_back(serving.server, tmp_path, "slow", force=True).forced is not None


def test_the_command_promotes_what_was_not_trained_anew_and_ends_the_experiment(
    tmp_path: Path, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.study.ROOT", tmp_path)
    monkeypatch.setattr("gateway.verdict.commands.runtime_of", lambda _: serving)
    folders = Folders("tests", tmp_path)
    folders.runs.mkdir(parents=True)
    folders.archives.mkdir(parents=True)
    (folders.runs / "study.json").write_text(Study().model_dump_json())
    engine = connect(database_url(folders.runs))
    trial(engine, 400, {"baseline": 0.2, "transfer": 0.9})
    engine.dispose()
    weights = {name: f"weights of {name}" for name in ("baseline", "transfer")}
    one = Experiment(name="trial", started=STARTED, arms={"baseline": 0.5, "transfer": 0.5}, weights=weights)
    files.write(folders.runs / files.FOLDER, one)
    pack(folders.archives, "baseline")
    pack(folders.archives, "transfer", "other weights")
    command = ["promote", "--study", "tests", "--experiment", "trial"]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "transfer was trained anew since trial began" in refused.output) == (2, True)
    assert files.read_all(folders.runs / files.FOLDER).running
    assert not serving.made_default
    pack(folders.archives, "transfer")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "transfer is the champion of tests: shown better (400 labels)" in done.output
    assert "trial has ended" in done.output
    assert serving.made_default == ["transfer"]
    assert not files.read_all(folders.runs / files.FOLDER).running
    assert "are not noted" not in (folders.reports / "experiments" / "trial.html").read_text()


def test_the_command_judges_and_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.study.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    runs = tmp_path / "runs" / "tests"
    runs.mkdir(parents=True)
    (runs / "study.json").write_text(Study().model_dump_json())
    done = run(app, ["experiment-report", "--study", "tests"])
    assert (done.exit_code, "no experiment in study 'tests' yet: make experiment" in done.output) == (2, True), (
        done.output
    )
    engine = connect(database_url(runs))
    trial(engine, 400, {"baseline": 0.2, "transfer": 0.9})
    engine.dispose()
    one = Experiment(name="trial", started=STARTED, arms={"baseline": 0.5, "transfer": 0.5})
    files.write(runs / files.FOLDER, one)
    done = run(app, ["experiment-report", "--study", "tests"])
    assert done.exit_code == 0, done.output
    assert "shown better" in done.output
    assert "warning: the weights of baseline, transfer are not noted" in done.output.replace("\n", " ")
    text = (tmp_path / "reports" / "tests" / "experiments" / "trial.html").read_text()
    assert "shown better" in text
    assert "make promote EXPERIMENT=trial STUDY=tests" in text
    assert Verdict.model_validate_json((tmp_path / "reports" / "tests" / "experiments" / "trial.json").read_text())
    done = run(app, ["experiment-report", "--study", "tests", "--name", "../x"])
    assert (done.exit_code, "there are: trial" in done.output) == (2, True)
    done = run(app, ["promote", "--study", "tests", "--experiment", "trial"])
    assert done.exit_code == 2, "no server runs"
    done = run(app, ["drift", "--study", "tests", "--entry", "views"])
    assert (done.exit_code, "there are: baseline, transfer" in done.output) == (2, True)
    content = bytearray((runs / "events.sqlite").read_bytes())
    content[8 * 4096 :] = bytes(len(content) - 8 * 4096)
    (runs / "events.sqlite").write_bytes(content)
    for command in ("experiment-report", "drift"):
        done = run(app, [command, "--study", "tests"])
        assert (done.exit_code, "error: the events cannot be read (" in done.output) == (2, True), done.output
