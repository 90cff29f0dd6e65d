"""The epoch that is kept, inside the checkpoint, so that one file has everything."""

import copy
import io
import math
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lesions.errors import UserError
from lesions.files import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it: Lightning's own way is through the system's /tmp."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to the file `path`. Raises `OSError`."""
        content = io.BytesIO()  # torch, writing into a file itself, hides why it fails
        torch.save(checkpoint, content)
        atomic_write(Path(path), content.getvalue())


class DivergedError(UserError):
    """A training whose weights have grown without end."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"in epoch {epoch} the loss is no number any more: choose a lower learning_rate")


class BestEpoch(pl.Callback):
    """The weights of the epoch with the highest validation macro F1 (the earliest of equals), and every epoch's scores.

    With `keep` = "last", the last epoch's weights are kept whatever their score.

    Its state travels in Lightning's checkpoint together with the training's `origin`: whatever must be the same for a
    training to go on from it. The checkpoint is written after each epoch.
    """

    def __init__(self, origin: dict[str, str], checkpoint: Path, keep: Literal["best", "last"] = "best") -> None:
        self.origin, self.checkpoint, self.keep = origin, checkpoint, keep
        self.epoch = -1
        self.history: list[dict[str, float]] = []
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note the epoch's scores, keep its weights if it is the best so far, and write the checkpoint.

        Raises `DivergedError` where the loss is no number any more.
        """
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(scores["valid_loss"]):
            raise DivergedError(trainer.current_epoch + 1)
        earlier = [past["valid_macro_f1"] for past in self.history]
        self.history.append(scores)
        if self.keep == "last" or not earlier or scores["valid_macro_f1"] > max(earlier):
            self.epoch = trainer.current_epoch
            self.weights = copy.deepcopy(module.kept.state_dict())  # type: ignore[union-attr]
        trainer.save_checkpoint(self.checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps: tensors, numbers and strings, so that it can be read with weights_only."""
        return {
            "origin": self.origin,
            "epoch": self.epoch,
            "history": self.history,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.epoch, self.history, self.weights = state["epoch"], state["history"], state["weights"]


def checkpoint_origin(checkpoint: Path) -> dict[str, str]:
    """The origin of the training that wrote `checkpoint`; empty if there is no such file or it is damaged."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return dict(state["callbacks"]["BestEpoch"]["origin"])
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, UnpicklingError):  # or it has pickles
        return {}
