"""The simulation of the queue against what queueing theory says of simpler ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.queueing import Machine, poisson, simulate

COUNT = 30_000
"""Requests of a simulation: its means are within some per cent of theory."""
ENDLESS = 10**9
WHOLE = math.inf
"""The slice of a core: each service is one piece."""


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request waits, in M/M/c, with `load` erlangs."""
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**number / math.factorial(number) for number in range(servers)) + last)


@pytest.mark.parametrize("servers", [1, 2, 4])
@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_mean_latency_of_exponential_services(servers: int, busy: float) -> None:
    rng = np.random.default_rng(servers)
    arrivals = poisson(busy * servers, COUNT, rng)
    latencies = simulate(Machine(servers, servers, ENDLESS, 0.0, slice=WHOLE), arrivals, rng.exponential(1.0, COUNT))
    expected = 1 + erlang_c(servers, busy * servers) / (servers * (1 - busy))
    assert latencies.mean() == pytest.approx(expected, rel=0.08)
    if servers == 1:  # in M/M/1, latencies are exponential
        assert np.percentile(latencies, 99) == pytest.approx(math.log(100) / (1 - busy), rel=0.15)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_mean_latency_of_equal_services(busy: float) -> None:
    arrivals = poisson(busy, COUNT, np.random.default_rng(0))
    latencies = simulate(Machine(1, 1, ENDLESS, 0.0, slice=WHOLE), arrivals, np.ones(COUNT))
    assert latencies.mean() == pytest.approx(1 + busy / (2 * (1 - busy)), rel=0.06)  # M/D/1


@pytest.mark.parametrize("waiting", [0, 3])
def test_share_of_refusals(waiting: int) -> None:
    rng, busy, places = np.random.default_rng(1), 1.5, waiting + 1
    latencies = simulate(
        Machine(1, 1, waiting, 0.0, slice=WHOLE), poisson(busy, COUNT, rng), rng.exponential(1.0, COUNT)
    )
    expected = (1 - busy) * busy**places / (1 - busy ** (places + 1))  # M/M/1/K
    assert np.isnan(latencies).mean() == pytest.approx(expected, abs=0.02)


def test_gateway_and_workers_share_the_cores() -> None:
    rng, count = np.random.default_rng(2), 4000
    arrivals, services = poisson(100, count, rng), np.full(count, 0.006)
    alone = simulate(Machine(2, 1, ENDLESS, 0.003), arrivals, services)
    shared = simulate(Machine(1, 1, ENDLESS, 0.003), arrivals, services)
    assert alone.mean() < 0.75 * shared.mean()
    crowded = poisson(1 / 0.007, count, rng)  # more than one core can do, and less than two can
    assert simulate(Machine(2, 1, ENDLESS, 0.003), crowded, services)[-1] < 0.2
    assert simulate(Machine(1, 1, ENDLESS, 0.003), crowded, services)[-1] > 2


@settings(deadline=None, max_examples=30)
@given(
    cores=st.integers(1, 3),
    workers=st.integers(1, 4),
    waiting=st.integers(0, 5),
    services=st.lists(st.floats(0.0001, 0.02), min_size=1, max_size=30),
    gaps=st.floats(0, 0.02),
)
def test_no_request_is_faster_than_its_own_work(
    cores: int, workers: int, waiting: int, services: list[float], gaps: float
) -> None:
    arrivals = [number * gaps for number in range(len(services))]
    latencies = simulate(Machine(cores, workers, waiting, 0.001, 0.002), arrivals, services)
    answered = ~np.isnan(latencies)
    assert answered[0]
    assert (latencies[answered] >= np.array(services)[answered] + 0.003 - 1e-9).all()
