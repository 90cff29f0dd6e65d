"""Training data of a generator: the images of the training split at the generator's size, in random batches."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gan import augment
from lesions.labels import CLASSES
from lesions.store import Store
from zoo.kinds.generator import GeneratorRecipe

REAL, FAKE, FLOOR = 0, 1, 3
"""Streams of random numbers: batches of real images, fake images, and the training images that give the floor."""


def generator_for(seed: int, stream: int, step: int) -> torch.Generator:
    """The random numbers of one step. They depend on the arguments alone, so a resumed training continues the same."""
    number = np.random.SeedSequence([seed, stream, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(number >> 1))


class Images(NamedTuple):
    """Images with their classes."""

    images: torch.Tensor  # uint8 [n, pixels, pixels, 3]
    labels: torch.Tensor  # int64 [n]


def load_part(store: Store, parts: NDArray[np.int64], number: int, pixels: int) -> Images:
    """The images of part `number` (as in `split.PARTS`), resized as `lesions.images.center_square` does."""
    rows = np.flatnonzero(parts == number)
    images = np.empty((len(rows), pixels, pixels, 3), dtype=np.uint8)
    for position, row in enumerate(rows):
        image = Image.fromarray(store.images[row])
        images[position] = np.asarray(image.resize((pixels, pixels), Image.Resampling.BILINEAR))
    return Images(torch.from_numpy(images), torch.from_numpy(store.index.labels[rows]))


class TrainingBatches:
    """Random batches of the training images, with random turns, by a recipe. A batch depends on (seed, step) alone."""

    def __init__(self, recipe: GeneratorRecipe, part: Images) -> None:
        self.recipe, self.part = recipe, part
        self.shares = class_shares(recipe, part.labels)
        self.indices_by_class = [torch.nonzero(part.labels == label).flatten() for label in range(len(CLASSES))]

    def batch(self, step: int) -> Images:
        """The `recipe.batch` real images of `step` (from 0)."""
        random = generator_for(self.recipe.seed, REAL, step)
        indices = self._natural(step) if self.recipe.sampling == "natural" else self._by_class(random)
        images = self.part.images[indices]
        if self.recipe.turns == "quarter_turns":
            images = augment.turn(images, random)
        elif self.recipe.turns == "mirror":
            images = augment.mirror(images, random)
        return Images(images, self.part.labels[indices])

    def _by_class(self, random: torch.Generator) -> torch.Tensor:
        """Indices with replacement: a class by its share, then any of its images."""
        labels = draw_labels(self.shares, self.recipe.batch, random)
        shares = torch.rand(self.recipe.batch, generator=random)
        members = (self.indices_by_class[label] for label in labels.tolist())
        return torch.stack(
            [indices[int(share * len(indices))] for indices, share in zip(members, shares.tolist(), strict=True)]
        )

    def _natural(self, step: int) -> torch.Tensor:
        """Indices without replacement: each image once in every epoch."""
        count, batch, seed = len(self.part.labels), self.recipe.batch, self.recipe.seed
        positions = range(step * batch, (step + 1) * batch)
        return torch.stack([_permutation(count, seed, position // count)[position % count] for position in positions])


def class_shares(recipe: GeneratorRecipe, labels: torch.Tensor) -> torch.Tensor | None:
    """The share of each class in the images that are asked of a generator, float64 [7]; none where all are alike.

    `labels`, int64 [n], are those of the training images.
    """
    if isinstance(recipe.sampling, str):
        return None
    weights = torch.bincount(labels, minlength=len(CLASSES)).double() ** recipe.sampling
    return weights / weights.sum()


def draw_labels(shares: torch.Tensor | None, count: int, random: torch.Generator) -> torch.Tensor:
    """Draw `count` classes by their `shares`, int64 [count]; each equally likely where there are none."""
    if shares is None:
        return torch.randint(len(CLASSES), (count,), generator=random)
    return torch.multinomial(shares, count, replacement=True, generator=random)


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _permutation(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of `count` images in `epoch` (from 0)."""
    random = generator_for(seed, REAL, 2**32 + epoch)  # beyond the number of any step
    return torch.randperm(count, generator=random)
