"""Which training images an epoch sees, and in which order: a function of (seed, epoch) and nothing else."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import WeightedRandomSampler

from zoo.models.views import POSITIONS

FILL_UP, AUGMENT, DROPOUT = 1, 2, 3
"""Keep the seeds of filling up, augmentation and dropout apart from those of drawing, and from each other."""


def seed_of(*numbers: int) -> int:
    """One 63-bit seed out of a study's seed and an epoch (and more), independent of its neighbors."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


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


def duplicates(
    real: NDArray[np.int64], target: int, seed: int, stage: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Copies that fill up classes to `target` in a stage: positions in `real`, and of the square (0 to 7), int64 [m].

    `real` are classes, int64. Of a class, each image is copied equally often (but for one time), in a random position
    of the square. A class that has `target` images or more gets none.
    """
    generator = np.random.default_rng(seed_of(seed, stage, FILL_UP))
    chosen = []
    for label in np.unique(real):
        of_class = np.flatnonzero(real == label)
        missing = max(0, target - len(of_class))
        rounds = [generator.permutation(of_class) for _ in range(0, missing, len(of_class))]
        chosen.append(np.concatenate([of_class[:0], *rounds])[:missing])
    copies = np.sort(np.concatenate(chosen))
    return copies, generator.integers(POSITIONS, size=len(copies))


def turn(image: NDArray[np.uint8], position: int) -> NDArray[np.uint8]:
    """An image [side, side, 3] in one of the `POSITIONS` of a square; 0 is as it is."""
    turned = np.rot90(image, position % 4)
    return turned if position < 4 else turned[:, ::-1]


def fill_up(
    real: NDArray[np.int64], synthetic: NDArray[np.int64], target: int, seed: int, stage: int
) -> NDArray[np.int64]:
    """Positions in `synthetic` of the images that fill up classes to `target` in a stage, sorted, int64 [m].

    `real` and `synthetic` are classes, int64. They are drawn without replacement; a class that has `target` images or
    more gets none (thesis section 4.11). `stage` numbers the stages, each of which draws anew.
    """
    generator = np.random.default_rng(seed_of(seed, stage, FILL_UP))
    have = np.bincount(real, minlength=int(synthetic.max()) + 1)
    chosen = [
        generator.permutation(np.flatnonzero(synthetic == label))[: max(0, target - have[label])]
        for label in range(len(have))
    ]
    return np.sort(np.concatenate(chosen))
