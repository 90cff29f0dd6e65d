"""Confidence sequences: intervals that hold at every look at once, however often one looks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
"""The chance, at most, that an interval misses the truth at any look: intervals are of 95 %."""
TIGHTEST = 500
"""With so many clients in each arm, an interval is least wide in proportion to one for a single look."""
EXTRA = 2
"""Made-up clients of each arm that are all right, and as many that are all wrong: in the variance only."""
LEAST_CLIENTS = 20
"""In each arm; with fewer there is no interval."""


def half_width(variance: ArrayLike, clients: ArrayLike, alpha: float = ALPHA) -> NDArray[np.float64]:
    """Half the width of the interval around an estimate, at any look.

    `variance` is that of the estimate, and `clients` are how many independent ones it is of. An asymptotic confidence
    sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 52, 2024, theorem 2.2), whose
    parameter is chosen for `TIGHTEST` by their equation for an optimal one. It needs no range and no distribution of
    the values, and is an approximation: `python -m benchmarks.looks` shows how well it holds.
    """
    n = np.asarray(clients, dtype=np.float64)
    scale = n * (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / TIGHTEST
    factor = 2 * (scale + 1) / scale * np.log(np.sqrt(scale + 1) / alpha)
    return np.asarray(np.sqrt(np.asarray(variance, dtype=np.float64) * factor))


def clients_needed(variance: float, clients: float, target: float, alpha: float = ALPHA) -> float | None:
    """How many clients make half the width as small as `target`, if the spread stays; none where that is out of reach.

    `variance` is that of an estimate of `clients`.
    """
    numbers = clients * np.geomspace(1, 1e4, 2000)
    narrow = np.flatnonzero(half_width(variance * clients / numbers, numbers, alpha) <= target)
    return float(numbers[narrow[0]]) if len(narrow) else None
