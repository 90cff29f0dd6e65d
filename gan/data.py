"""The images that a generator learns from: the training split, at the generator's pixels, in an order of its own."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gan import augment
from lesions.labels import CLASSES
from lesions.store import Store
from zoo.generator_recipe import GeneratorRecipe

REAL, FAKE, CANVAS, JUDGE, SETTLE = range(5)
"""What randomness is for: each use has a stream of its own."""


def generator_for(seed: int, use: int, step: int) -> torch.Generator:
    """The randomness of one step: a function of its arguments alone, so that a resumed training goes on the same."""
    number = np.random.SeedSequence([seed, use, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(number >> 1))


class Images(NamedTuple):
    """Images of one part of the split."""

    images: torch.Tensor
    """Uint8 [n, pixels, pixels, 3]."""
    labels: torch.Tensor
    """Int64 [n]."""


def load_part(store: Store, parts: NDArray[np.int64], number: int, pixels: int) -> Images:
    """The images of part `number` (as in `split.PARTS`), resized as `lesions.images.center_square` does."""
    rows = np.flatnonzero(parts == number)
    images = np.empty((len(rows), pixels, pixels, 3), dtype=np.uint8)
    for place, row in enumerate(rows):
        image = Image.fromarray(store.images[row])
        images[place] = np.asarray(image.resize((pixels, pixels), Image.Resampling.BILINEAR))
    return Images(torch.from_numpy(images), torch.from_numpy(store.index.labels[rows]))


class TrainingBatches:
    """Batches of training images as the recipe draws and turns them: a function of (seed, step)."""

    def __init__(self, recipe: GeneratorRecipe, part: Images) -> None:
        self.recipe, self.part = recipe, part
        self.members = [torch.nonzero(part.labels == label).flatten() for label in range(len(CLASSES))]
        self.orders: dict[int, torch.Tensor] = {}

    def batch(self, step: int) -> Images:
        """The real images of `step` (from 0): `recipe.batch` of them."""
        random = generator_for(self.recipe.seed, REAL, step)
        rows = self._balanced(random) if self.recipe.sampling == "balanced" else self._natural(step)
        images = self.part.images[rows]
        if self.recipe.turns == "quarter_turns":
            images = augment.turned(images, random)
        elif self.recipe.turns == "mirror":
            images = augment.mirrored(images, random)
        return Images(images, self.part.labels[rows])

    def _balanced(self, random: torch.Generator) -> torch.Tensor:
        """Positions, each class equally often, with replacement."""
        labels = torch.randint(len(CLASSES), (self.recipe.batch,), generator=random)
        shares = torch.rand(self.recipe.batch, generator=random)
        pairs = zip(labels.tolist(), shares.tolist(), strict=True)
        return torch.stack([self.members[label][int(share * len(self.members[label]))] for label, share in pairs])

    def _natural(self, step: int) -> torch.Tensor:
        """Positions, each image once in every pass over the data."""
        count, batch = len(self.part.labels), self.recipe.batch
        places = range(step * batch, (step + 1) * batch)
        return torch.stack([self._order(place // count)[place % count] for place in places])

    def _order(self, passed: int) -> torch.Tensor:
        if passed not in self.orders:
            random = generator_for(self.recipe.seed, REAL, 2**32 + passed)  # beyond the number of any step
            self.orders = {old: order for old, order in self.orders.items() if old == passed - 1}
            self.orders[passed] = torch.randperm(len(self.part.labels), generator=random)
        return self.orders[passed]
