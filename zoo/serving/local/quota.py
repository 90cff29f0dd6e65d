"""A container's limit of processor time, which the processors that a process may use do not show."""

import math
from pathlib import Path

FILE = Path("/sys/fs/cgroup/cpu.max")
"""The microseconds of processor time in each period of so many (Linux control groups, version 2)."""


def within_quota(processors: int) -> int:
    """As many processors as the limit is worth, rounded up: `processors` at the most, and 1 at the least."""
    try:
        quota, period = FILE.read_text().split()
        return max(1, min(processors, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, another version of them, or no limit: "max 100000"
        return processors
