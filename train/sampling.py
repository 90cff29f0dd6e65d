"""Which training images an epoch sees, and in which order: a function of (seed, epoch) and nothing else."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import WeightedRandomSampler


def seed_of(seed: int, epoch: int) -> int:
    """One 63-bit seed out of a study's seed and an epoch, independent of its neighbours."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def draw(
    labels: NDArray[np.int64], sampling: Literal["natural", "balanced"], draws: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Positions of the images that `epoch` (from 0) trains on, in order, int64 [draws], out of the n of `labels`.

    Natural: a permutation (`draws` must be n). Balanced: with replacement, weighted by 1 / class count, so that each
    class is drawn equally often (thesis section 4.2).
    """
    generator = torch.Generator().manual_seed(seed_of(seed, epoch))
    if sampling == "natural":
        if draws != len(labels):
            raise ValueError(f"natural sampling draws each of {len(labels)} images once, not {draws}")
        return torch.randperm(draws, generator=generator).numpy()
    weights = (1 / np.bincount(labels)[labels]).tolist()
    return np.fromiter(WeightedRandomSampler(weights, draws, generator=generator), dtype=np.int64, count=draws)
