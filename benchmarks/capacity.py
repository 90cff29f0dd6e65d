"""What a demand needs, and what breaks first, computed from measured figures."""

import math
from typing import NamedTuple

from gateway.manifests import kserve

PEAK = 3.0
"""Assumed: in its busiest hour a day has so many times its mean rate."""
BUSY = 0.6
"""Of a processor's time, at the peak: the queue's table says what latency that means."""
CORES = kserve.CPUS
"""Of a pod, as in deploy/kserve.yaml."""
MEMORY_GIB = int(kserve.MEMORY["requests"].removesuffix("Gi"))
"""What a pod asks for, as in deploy/kserve.yaml."""
DOLLARS = (0.03, 0.05)
"""Assumed: of a core with its memory, an hour, as large clouds list it, from reserved to on demand."""
HOURS = 730
"""Of a month."""
GIGABIT = 125_000_000
"""Bytes a second of a line of 1 Gbit/s."""


class Work(NamedTuple):
    """What an answer takes of a core, in milliseconds."""

    decode: float
    forward: float
    gateway: float
    """The event loop's, of which a process has one."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.decode + self.forward + self.gateway


class Need(NamedTuple):
    """What a demand needs."""

    rate: float
    """Answers a second, at the peak."""
    cores: float
    pods: int
    memory_gib: float
    dollars: tuple[float, float]
    """A month: the least, and the most."""


class Limit(NamedTuple):
    """A part, and from which rate on it is not enough."""

    part: str
    rate: float
    """Answers a second."""
    remedy: str


def need(rate: float, work: Work) -> Need:
    """What `rate` answers a second at the peak need. There are two pods at the least, since one may die."""
    cores = rate * work.total / 1000 / BUSY
    pods = max(2, math.ceil(cores / CORES))
    least, most = (pods * CORES * HOURS * price for price in DOLLARS)
    return Need(rate, cores, pods, pods * MEMORY_GIB, (least, most))


def peak_of_a_day(answers: float) -> float:
    """The rate at the peak of a day with so many answers."""
    return answers / 86_400 * PEAK


def limits(work: Work, jpeg_bytes: float, sqlite: float, postgresql: float | None) -> list[Limit]:
    """Where it breaks, the first one first; `sqlite` and `postgresql`, if it was measured, are rows a second."""
    found = [
        Limit(f"one pod of {CORES} cores, all its work", CORES * 1000 / work.total, "more pods"),
        Limit("the event loop of one gateway, however many cores", 1000 / work.gateway, "more pods, not larger ones"),
        Limit(f"decoding alone, on {CORES} cores", CORES * 1000 / work.decode, "more pods, or smaller pictures"),
        Limit("a network of 1 Gbit/s, for pictures alone", GIGABIT / jpeg_bytes, "a faster one; smaller pictures"),
        Limit("events in SQLite, one machine's", sqlite, "PostgreSQL: SQLite is a file of one machine"),
    ]
    if postgresql:
        found.append(Limit("events in one PostgreSQL", postgresql, "larger batches; a database for each experiment"))
    return sorted(found, key=lambda limit: limit.rate)
