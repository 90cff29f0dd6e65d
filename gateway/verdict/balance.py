"""Do the arms have the clients that their shares say? If not, something loses them, and comparisons mislead."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import gammaln

LEVEL = 0.01
"""The chance, at most, that a right assignment is ever called wrong."""
PRIOR = 100.0
"""How many made-up clients, by the shares, the alternatives are spread around."""


def evidence(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """How many times more likely other shares make the `counts` of clients by arm than `shares`, as a logarithm.

    A multinomial e-process with a Dirichlet mixture (Lindon & Malek, NeurIPS 2022, equation 7): it may be looked at
    after every client, and `exp` of it is at least 1 / `LEVEL` with a chance of `LEVEL` at most if the shares are
    right. Shares of 0 must have no clients, else it is infinite.
    """
    expected = {arm: share for arm, share in shares.items() if share > 0}
    if any(counts.get(arm, 0) for arm in shares.keys() - expected.keys()):
        return float("inf")
    weights = np.array([PRIOR * share for share in expected.values()])
    n = np.array([counts.get(arm, 0) for arm in expected])
    mixed = gammaln(PRIOR) - gammaln(PRIOR + n.sum()) + (gammaln(weights + n) - gammaln(weights)).sum()
    return float(mixed - (n * np.log(list(expected.values()))).sum())


def is_wrong(counts: Mapping[str, int], shares: Mapping[str, float]) -> bool:
    """Whether the arms' clients are not by their shares."""
    return evidence(counts, shares) >= -math.log(LEVEL)
