"""The files of experiments: written, read, changed, damaged; one running at a time."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.experiments import files
from gateway.experiments.experiment import Experiment
from gateway.experiments.files import ExperimentError


def new(name: str = "lite", started: float = 1.0, **fields: Any) -> Experiment:
    return files.create(**({"name": name, "started": started, "arms": {"transfer": 0.9, "lite1": 0.1}} | fields))


@given(
    arms=st.permutations(["transfer", "lite1", "views"]),
    shadows=st.sets(st.sampled_from(["ensemble", "adjusted"])),
    metric=st.sampled_from(["accuracy", "balanced_accuracy", "macro_f1"]),
    reason=st.text(max_size=200),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, arms: list[str], shadows: set[str], metric: str, reason: str
) -> None:
    folder = tmp_path_factory.mktemp("experiments")
    share = {arm: share for arm, share in zip(arms, (0.5, 0.25, 0.25), strict=True)}
    removed = {arms[1]: {"time": 2.5, "reason": reason}}
    earlier = ({"arms": share, "removed": removed, "until": 3.5},)
    experiment = new(arms=share, shadows=tuple(sorted(shadows)), metric=metric, removed=removed, earlier=earlier)
    files.write(folder, experiment)
    again = files.read(files.file_of(folder, "lite"))
    assert again == experiment
    assert list(again.arms) == arms
    assert again.reference == arms[0]


def test_shares_of_a_running_one_change_and_nothing_else(tmp_path: Path) -> None:
    files.start(tmp_path, new(shadows=("views",)))
    changed = files.start(tmp_path, new(started=7.0, arms={"lite1": 0.5, "transfer": 0.5}))
    assert changed == files.read(tmp_path / "lite.toml")
    assert list(changed.arms.items()) == [("transfer", 0.5), ("lite1", 0.5)], "the reference stays"
    [before] = changed.earlier
    assert (before.arms, before.removed, changed.started) == ({"transfer": 0.9, "lite1": 0.1}, {}, 1.0)
    assert changed.changed == before.until == pytest.approx(time.time(), abs=60)
    assert changed.changes == [before.until]
    assert changed.shadows == ("views",)
    assert files.start(tmp_path, new(arms={"transfer": 0.5, "lite1": 0.5})) == changed, "the same again is no change"
    with pytest.raises(ExperimentError, match="its shares can change, its arms cannot"):
        files.start(tmp_path, new(arms={"transfer": 0.5, "views": 0.5}))
    with pytest.raises(ExperimentError, match="only ARMS can change, and not: metric"):
        files.start(tmp_path, new(metric="macro_f1"))
    assert files.start(tmp_path, new(metric="accuracy")).metric == "accuracy"


def test_the_same_command_again_is_no_change(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"guard": {"errors": 0.1}, "shadows": ("views",)}
    first = files.start(tmp_path, new(**asked))
    assert files.start(tmp_path, new(**asked, started=2.0)) == first
    with pytest.raises(ExperimentError, match="only ARMS can change, and not: guard"):
        files.start(tmp_path, new(guard={"errors": 0.2}))


def test_one_at_a_time(tmp_path: Path) -> None:
    files.start(tmp_path, new())
    with pytest.raises(ExperimentError, match="lite is running, and a model has one at a time: make stop-experiment"):
        files.start(tmp_path, new("other"))
    assert files.change(tmp_path, "lite", lambda one: files.update(one, ended=3.0)).ended == 3.0
    files.start(tmp_path, new("other", 4.0))
    assert [one.name for one in files.read_all(tmp_path).experiments] == ["lite", "other"]
    assert [one.name for one in files.read_all(tmp_path).running] == ["other"]
    files.change(tmp_path, "other", lambda one: files.update(one, ended=5.0))
    with pytest.raises(ExperimentError, match="lite has ended; choose another name"):
        files.start(tmp_path, new())
    with pytest.raises(ExperimentError, match="no experiment is named 'nobody'; there are: lite, other"):
        files.change(tmp_path, "nobody", lambda one: one)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arms": {"transfer": 0.9, "lite1": 0.2}}, "add up to 1.1, not to 1"),
        ({"arms": {}}, "add up to 0"),
        ({"arms": {"transfer": 1.0}}, "one arm alone is no experiment"),
        ({"arms": {"transfer": 1.5, "lite1": -0.5}}, "arms"),
        (
            {"arms": {"Transfer": 0.5, "../x": 0.5}},
            "^'Transfer' is no version's name: small letters, digits and _; a letter",
        ),
        ({"shadows": ("Views",)}, "^'Views' is no version's name: "),
        ({"shadows": ("views", "views")}, "a shadow is named twice: views views"),
        ({"shadows": ("lite1",)}, "lite1 is both an arm and a shadow"),
        ({"name": "../lite"}, "^'../lite' is no name: small letters, digits, _ and -; a letter first"),
        ({"metric": "f1"}, "metric"),
        ({"guard": {"errors": 2}}, "guard.errors"),
        ({"guard": {"error": 1}}, "^unknown key 'guard.error'; allowed: errors, latency_ms, answers$"),
        ({"arm": {}}, "^unknown key 'arm'; allowed: name, started, ended, "),
        ({"started": 1e30}, "started"),
        ({"ended": float("nan")}, "ended"),
        ({"removed": {"views": {"time": 1, "reason": ""}}}, "views is taken out, but is no arm"),
        ({"removed": {arm: {"time": 1, "reason": ""} for arm in ("transfer", "lite1")}}, "every arm is taken out"),
        ({"earlier": ({"arms": {"transfer": 1.0}, "until": 2},)}, "the arms of earlier shares are others"),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message.replace("+", r"\+")):
        new(**fields)


def test_an_arm_that_was_taken_out_comes_back_by_the_same_command(tmp_path: Path) -> None:
    removed = {"lite1": {"time": 2.5, "reason": "slow"}}
    files.start(tmp_path, new())
    out = files.change(tmp_path, "lite", lambda one: files.update(one, removed=removed))
    back = files.start(tmp_path, new())
    assert (back.arms, back.removed) == (out.arms, {})
    assert back.earlier[0].removed == out.removed
    assert back.changes == [2.5, back.changed]
    assert files.start(tmp_path, new()) == back


def test_versions_that_were_trained_anew_are_another_experiment(tmp_path: Path) -> None:
    files.start(tmp_path, new(weights={"transfer": "a", "lite1": "b"}))
    half = {"transfer": 0.5, "lite1": 0.5}
    with pytest.raises(ExperimentError, match="lite1 was trained anew since lite began"):
        files.start(tmp_path, new(arms=half, weights={"transfer": "a", "lite1": "c"}))
    changed = files.start(tmp_path, new(arms=half))  # without a server
    assert changed.weights == {"transfer": "a", "lite1": "b"}


def test_weights_that_were_not_known_at_first_are_noted_when_they_are(tmp_path: Path) -> None:
    files.start(tmp_path, new())  # nothing is served
    noted = files.start(tmp_path, new(weights={"transfer": "a", "lite1": "b"}))
    assert noted.weights == files.read(tmp_path / "lite.toml").weights == {"transfer": "a", "lite1": "b"}
    assert not noted.earlier
    with pytest.raises(ExperimentError, match="lite1 was trained anew since lite began"):
        files.start(tmp_path, new(weights={"transfer": "a", "lite1": "c"}))


@pytest.mark.parametrize("content", [b"", b"\xff", b"name = ", b"name = 'lite'", b"[[arms]]"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lite.toml").write_bytes(content)
    files.write(tmp_path, new("other"))
    there = files.read_all(tmp_path)
    assert [one.name for one in there.experiments] == ["other"]
    [problem] = there.problems
    assert problem.startswith(f"{tmp_path / 'lite.toml'}: ")
    assert problem.endswith("mend it, or delete it")


def test_a_renamed_file(tmp_path: Path) -> None:
    files.write(tmp_path, new())
    (tmp_path / "lite.toml").rename(tmp_path / "other.toml")
    with pytest.raises(ExperimentError, match="the name in it is lite"):
        files.read(tmp_path / "other.toml")
