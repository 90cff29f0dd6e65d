"""The decoded cache as Lightning's data module: one loader an epoch, in the order that `sampling` drew."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from lesions.store import Store
from train.sampling import draw, duplicates, fill_up, turn
from zoo.kinds.classifier import ClassifierRecipe

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images uint8 [n, pixels, pixels, 3] and classes int64 [n]."""


class StoreDataset(Dataset[Batch]):
    """Some images of several stores in a row. A whole batch is read at once: one gather out of each memory map.

    `positions` count through the stores, then through turned copies of their images (`LesionDataModule`).
    """

    def __init__(self, stores: Sequence[Store], positions: NDArray[np.int64]) -> None:
        self.stores, self.positions = stores, positions
        self.begins = np.cumsum([0, *(len(store.index) for store in stores)])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """The batch of these `items`; torch's fetcher calls this instead of collating single images."""
        turns, rows = np.divmod(self.positions[np.asarray(items)], self.begins[-1])
        images = np.empty((len(rows), *self.stores[0].images.shape[1:]), dtype=np.uint8)
        labels = np.empty(len(rows), dtype=np.int64)
        for store, begin, end in zip(self.stores, self.begins, self.begins[1:], strict=False):
            here = (rows >= begin) & (rows < end)
            images[here] = store.images[rows[here] - begin]
            labels[here] = store.index.labels[rows[here] - begin]
        for place in np.flatnonzero(turns):
            images[place] = turn(images[place], int(turns[place]))
        return torch.from_numpy(images), torch.from_numpy(labels)


class LesionDataModule(pl.LightningDataModule):
    """Training images as the recipe draws them in each epoch, and validation images in order, none left out.

    Positions count through `store` and then through `pool`, the synthetic images, where the recipe has any; and on, in
    the same order, through the images in the second position of a square, the third, up to the eighth.
    """

    def __init__(
        self, recipe: ClassifierRecipe, store: Store, parts: NDArray[np.int64], pool: Store | None = None
    ) -> None:
        super().__init__()
        self.recipe, self.store, self.parts, self.pool = recipe, store, parts, pool
        self.stores = [store] if pool is None else [store, pool]
        self.labels = np.concatenate([each.index.labels for each in self.stores])
        self.total = len(self.labels)

    def positions(self, part: int) -> NDArray[np.int64]:
        """Positions in the store of a part of the split, int64 [n]."""
        return np.flatnonzero(self.parts == part)

    def held_out(self) -> NDArray[np.int64]:
        """Positions of the validation and test images, int64 [n]."""
        return np.flatnonzero((self.parts == 1) | (self.parts == 2))

    def labels_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Their classes, int64 [n]."""
        return self.labels[positions % self.total]

    def candidates(self, epoch: int) -> NDArray[np.int64]:
        """Positions of the images that `epoch` may draw: real ones, and those that fill up classes, int64 [n]."""
        real, begin = self.positions(0), len(self.store.index)
        if self.pool is not None and not self.recipe.real:
            return np.arange(begin, begin + len(self.pool.index))
        if not (self.recipe.fill_up and (target := self.recipe.fill_up[epoch])):
            return real
        stage = sum(before != after for before, after in pairwise(self.recipe.fill_up[: epoch + 1]))
        if self.pool is None:
            copies, turns = duplicates(self.labels[real], target, self.recipe.seed, stage)
            return np.concatenate([real, real[copies] + self.total * turns])
        synthetic = fill_up(self.labels[real], self.pool.index.labels, target, self.recipe.seed, stage)
        return np.concatenate([real, begin + synthetic])

    def positions_of_epoch(self, epoch: int) -> NDArray[np.int64]:
        """Positions of the images that `epoch` trains on, in order, int64 [draws]."""
        candidates, recipe = self.candidates(epoch), self.recipe
        order = draw(self.labels_of(candidates), recipe.sampling, recipe.draws[epoch], recipe.seed, epoch)
        return candidates[order]

    def train_dataloader(self) -> DataLoader[Batch]:
        """The loader of the epoch that begins; the trainer calls this for each epoch."""
        assert self.trainer is not None
        return self._loader(self.positions_of_epoch(self.trainer.current_epoch))

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation images."""
        return self._loader(self.positions(1))

    def _loader(self, positions: NDArray[np.int64]) -> DataLoader[Batch]:
        return DataLoader(StoreDataset(self.stores, positions), batch_size=self.recipe.batch, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    """Nothing to collate: `StoreDataset` reads whole batches."""
    return batch
