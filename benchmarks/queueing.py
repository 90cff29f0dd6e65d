"""A discrete simulation of the queue of one machine: the gateway's event loop, worker threads, and their cores."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

Times = Sequence[float] | NDArray[np.float64]
"""In seconds, [n]."""


@dataclass(frozen=True)
class Machine:
    """One server of the runtime `local`, with the gateway in the same process. Times are in seconds."""

    cores: int
    workers: int
    """Threads that decode and predict."""
    waiting: int
    """Requests that may wait for a thread; the next one gets a 503."""
    gateway: float
    """What the event loop does for a request, half of it before the worker and half after."""
    network: float = 0.0
    """What a request takes elsewhere, as in the client: no other one waits for it."""
    slice: float = 0.001
    """After it another thread that waits gets the core: the event loop does not wait for the end of a whole picture."""


def simulate(machine: Machine, arrivals: Times, services: Times) -> NDArray[np.float64]:
    """The latency of each request, [n], in seconds; nan where it gets a 503.

    `arrivals` are the times at which requests come, `services` what each takes of a worker.
    """
    environment = simpy.Environment()
    cores = simpy.PriorityResource(environment, machine.cores)
    loop = simpy.Resource(environment, 1)
    workers = simpy.Resource(environment, machine.workers)
    latencies = np.full(len(arrivals), np.nan)

    def use(place: simpy.Resource, seconds: float, priority: int) -> Generator[simpy.Event, None, None]:
        with place.request() as turn:
            yield turn
            while seconds > 0:
                with cores.request(priority) as core:
                    yield core
                    yield environment.timeout(min(seconds, machine.slice))
                seconds -= machine.slice

    def answer(number: int, service: float) -> Generator[simpy.Event, None, None]:
        begun = environment.now
        yield from use(loop, machine.gateway / 2, 0)
        if workers.count == workers.capacity and len(workers.queue) >= machine.waiting:
            return
        yield from use(workers, service, 1)
        yield from use(loop, machine.gateway / 2, 0)
        latencies[number] = environment.now - begun + machine.network

    def arrive() -> Generator[simpy.Event, None, None]:
        for number, (time, service) in enumerate(zip(arrivals, services, strict=True)):
            yield environment.timeout(time - environment.now)
            environment.process(answer(number, service))

    environment.process(arrive())
    environment.run()
    return latencies


def poisson(rate: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The times of `count` arrivals, `rate` a second, that know nothing of each other."""
    return np.cumsum(rng.exponential(1 / rate, count))
