"""The decoded cache as Lightning's data module: one loader an epoch, in the order that `sampling` drew."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from lesions.store import Store
from train.sampling import draw
from zoo.recipe import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images uint8 [n, pixels, pixels, 3] and classes int64 [n]."""


class Images(Dataset[Batch]):
    """Some positions of a store. A whole batch is read at once: one gather out of the memory map."""

    def __init__(self, store: Store, positions: NDArray[np.int64]) -> None:
        self.store, self.positions = store, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """The batch of these `items`; torch's fetcher calls this instead of collating single images."""
        rows = self.positions[np.asarray(items)]
        return torch.from_numpy(self.store.images[rows]), torch.from_numpy(self.store.index.labels[rows])


class Splits(pl.LightningDataModule):
    """Training images as the recipe draws them in each epoch, and validation images in order, none left out."""

    def __init__(self, recipe: Recipe, store: Store, parts: NDArray[np.int64]) -> None:
        super().__init__()
        self.recipe, self.store, self.parts = recipe, store, parts

    def positions(self, part: int) -> NDArray[np.int64]:
        """Positions in the store of a part of the split, int64 [n]."""
        return np.flatnonzero(self.parts == part)

    def drawn(self, epoch: int) -> NDArray[np.int64]:
        """Positions in the store of the images that `epoch` trains on, in order, int64 [draws]."""
        training = self.positions(0)
        recipe = self.recipe
        order = draw(self.store.index.labels[training], recipe.sampling, recipe.draws[epoch], recipe.seed, epoch)
        return training[order]

    def train_dataloader(self) -> DataLoader[Batch]:
        """The loader of the epoch that begins; the trainer asks anew for each."""
        assert self.trainer is not None
        return self._loader(self.drawn(self.trainer.current_epoch))

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation images."""
        return self._loader(self.positions(1))

    def _loader(self, positions: NDArray[np.int64]) -> DataLoader[Batch]:
        return DataLoader(Images(self.store, positions), batch_size=self.recipe.batch, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    """Nothing to collate: `Images` reads whole batches."""
    return batch
