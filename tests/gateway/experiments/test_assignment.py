"""Which arm a client belongs to: sticky, by the shares, and with as few moves as can be."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.experiments.assignment import assign
from gateway.experiments.experiment import Earlier, Experiment, Removal
from gateway.experiments.files import update

CLIENTS = [f"client {number}" for number in range(1500)]
FAR = 5
"""Standard deviations: by chance, one in a million is further off."""
ARMS = ("transfer", "lite1", "views", "ensemble")


@st.composite
def shares(draw: st.DrawFn, arms: int) -> dict[str, float]:
    weights = draw(st.lists(st.integers(0, 20), min_size=arms, max_size=arms).filter(any))
    return {arm: weight / sum(weights) for arm, weight in zip(ARMS, weights, strict=False)}


@st.composite
def experiments(draw: st.DrawFn, most_changes: int = 3) -> Experiment:
    arms = draw(st.integers(2, len(ARMS)))
    *earlier, now = (draw(shares(arms)) for _ in range(draw(st.integers(1, 1 + most_changes))))
    name = draw(st.from_regex(r"\A[a-z][a-z0-9_-]{0,8}\Z"))
    steps = tuple(Earlier(arms=one, until=number) for number, one in enumerate(earlier))
    return Experiment(name=name, started=0, arms=now, earlier=steps)


def everybody(experiment: Experiment) -> list[str]:
    return [assign(experiment, client) for client in CLIENTS]


def close(count: int, share: float) -> bool:
    number = len(CLIENTS)
    return bool(abs(count - share * number) <= FAR * (number * share * (1 - share)) ** 0.5 + 1e-6)


@given(experiments())
@settings(max_examples=25)
def test_clients_are_shared_out_and_stay(experiment: Experiment) -> None:
    arms = everybody(experiment)
    counts = Counter(arms)
    assert all(close(counts[arm], share) for arm, share in experiment.arms.items()), counts
    again = Experiment.model_validate(experiment.model_dump())
    assert everybody(again)[::-1] == arms[::-1]


@given(experiments(most_changes=2), st.data())
@settings(max_examples=25)
def test_a_change_of_shares_moves_as_few_as_can_be(experiment: Experiment, data: st.DataObject) -> None:
    wanted = data.draw(shares(len(experiment.arms)))
    steps = experiment.model_dump()["earlier"]
    changed = update(experiment, arms=wanted, earlier=[*steps, {"arms": experiment.arms, "until": 9}])
    before, after = everybody(experiment), everybody(changed)
    gains = {arm: wanted[arm] - share for arm, share in experiment.arms.items()}
    moves = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert all(gains[one] < 0 < gains[other] for one, other in moves), "nobody leaves an arm that gains"
    assert close(len(moves), sum(gain for gain in gains.values() if gain > 0))
    counts = Counter(after)
    assert all(close(counts[arm], share) for arm, share in wanted.items()), counts


@given(experiments(), st.data())
@settings(max_examples=25)
def test_a_removal_moves_the_clients_of_that_arm_alone(experiment: Experiment, data: st.DataObject) -> None:
    before = everybody(experiment)
    order = data.draw(st.permutations(list(experiment.arms)))
    for number in range(1, len(order)):
        gone = order[:number]
        after = [assign(experiment, client, gone) for client in CLIENTS]
        assert all(one == other for one, other in zip(before, after, strict=True) if one != gone[-1])
        assert not set(gone) & set(after)
        removed = update(experiment, removed={arm: Removal(time=0, reason="slow").model_dump() for arm in gone})
        assert everybody(removed) == after
        before = after


def test_the_reference_answers_where_the_file_and_the_guard_take_every_arm_out() -> None:
    one = Experiment(name="one", started=0, arms={"transfer": 0.5, "lite1": 0.5})
    removed = update(one, removed={"transfer": Removal(time=0, reason="slow").model_dump()})
    assert {assign(removed, client, ["lite1"]) for client in CLIENTS} == {"transfer"}


def test_the_clients_of_another_experiment_are_shared_out_anew() -> None:
    one = Experiment(name="one", started=0, arms={"transfer": 0.5, "lite1": 0.5})
    same = sum(a == b for a, b in zip(everybody(one), everybody(update(one, name="other")), strict=True))
    assert close(same, 0.5)
