import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.rates
from gateway.keys import Key
from gateway.problems import Problem
from gateway.rates import Rates


def key(rate: str) -> Key:
    digest = hashlib.sha256(rate.encode()).hexdigest()
    return Key(name="phone", sha256=digest, scopes=("classify",), rate=rate, created="2026-01-01T00:00:00+00:00")


EIGHTHS = st.integers(0, 320).map(lambda number: number / 8)  # floats that add up exactly
CALLS = st.lists(st.tuples(EIGHTHS, st.integers(0, 4)), max_size=30)


@given(st.integers(1, 6), CALLS)
def test_no_minute_has_more_than_may_be_asked(most: int, calls: list[tuple[float, int]]) -> None:
    rates, own, now = Rates(), key(f"{most}/minute"), 100.0
    counted: list[tuple[float, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.rates, "time", SimpleNamespace(monotonic=lambda: now))
        for pause, cost in calls:
            now += pause
            may = cost <= most and sum(n for t, n in counted if t > now - 60) + cost <= most
            try:
                rates.count(own, cost)
            except Problem as problem:
                assert not may
                assert problem.status == 429
                if cost <= most:  # then it may
                    now += int(problem.headers["Retry-After"])
                    rates.count(own, cost)
                    counted.append((now, cost))
            else:
                assert may
                counted.append((now, cost))


def test_keys_are_counted_each_for_itself() -> None:
    rates = Rates()
    rates.count(key("1/day"))
    rates.count(key("1/hour"))
    with pytest.raises(Problem, match="1/day"):
        rates.count(key("1/day"))
