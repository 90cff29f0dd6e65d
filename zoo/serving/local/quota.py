"""A container's limit of processor time, which the processors that a process may use do not show."""

import math
import os
from pathlib import Path

FILE = Path("/sys/fs/cgroup/cpu.max")
"""The microseconds of processor time in each period of so many (Linux control groups, version 2)."""


def processors() -> int:
    """How many processors this process may use."""
    return within_quota(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def within_quota(processors: int) -> int:
    """As many processors as the limit is worth, rounded up: `processors` at the most, and 1 at the least."""
    try:
        quota, period = FILE.read_text().split()
        return max(1, min(processors, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, another version of them, or no limit: "max 100000"
        return processors
