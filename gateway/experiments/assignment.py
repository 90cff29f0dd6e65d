"""Which arm a client belongs to: a function of the experiment's file and the client, so that nothing is remembered."""

import hashlib
import math
from collections.abc import Collection, Mapping
from itertools import pairwise

from gateway.experiments.experiment import Experiment

LEAST = 1e-9
"""The weight of an arm whose share is 0, where no other is left."""


def assign(experiment: Experiment, client: str, out: Collection[str] = ()) -> str:
    """The arm of a client (its hash): always the same, until the shares change or arms are taken out.

    Of clients, `share` belong to an arm. At a change of shares, an arm that loses some keeps as many of its clients as
    it may, and those that leave go to the arms that gain: no rule moves fewer. The clients of an arm that was taken
    out, in the file or by `out`, go to the others, and nobody else moves. Where none is left, it is the reference.
    """
    steps = (*(one.arms for one in experiment.earlier), experiment.arms)
    salt = f"{experiment.name}/{client}"
    arm = _draw(steps[0], f"{salt}/first")
    for number, (before, after) in enumerate(pairwise(steps)):
        if after[arm] < before[arm] and _uniform(f"{salt}/{number}/stay") >= after[arm] / before[arm]:
            gains = {other: after[other] - before[other] for other in after if after[other] > before[other]}
            arm = _draw(gains, f"{salt}/{number}/go") if gains else arm  # none: the shares differ by rounding
    if arm in experiment.removed or arm in out:
        arm = _draw(left(experiment, out) or {experiment.reference: 1.0}, f"{salt}/left")
    return arm


def left(experiment: Experiment, out: Collection[str] = ()) -> dict[str, float]:
    """The arms that are not taken out, in the file or by `out`, and their shares, which may add up to less than 1."""
    gone = {*experiment.removed, *out}
    return {arm: share for arm, share in experiment.arms.items() if arm not in gone}


def _draw(weights: Mapping[str, float], salt: str) -> str:
    """One of the names, by weight: weighted rendezvous hashing, so without a name the others' draws stay.

    Schindelhauer and Schomaker 2005, "Weighted distributed hash tables".
    """
    return max(weights, key=lambda name: max(weights[name], LEAST) / -math.log(_uniform(f"{salt}/{name}")))


def _uniform(text: str) -> float:
    """A number between 0 and 1, without both, that looks random."""
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) + 0.5) / 2**48
