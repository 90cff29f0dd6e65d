"""The progress of a classifier's training, epoch by epoch."""

import sys
from typing import Any

import pytorch_lightning as pl

from zoo.progress import ProgressBar


class Progress(pl.Callback):
    """Shows `name`, the epoch, validation macro F1, and the time left, estimated by the images still to be drawn."""

    def __init__(self, name: str, draws: list[int]) -> None:
        self.name, self.draws = name, draws
        self.bar: ProgressBar | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the bar where training starts or continues."""
        if trainer.current_epoch:
            print(f"{self.name}: goes on from epoch {trainer.current_epoch + 1}", file=sys.stderr, flush=True)
        self.bar = ProgressBar(self.name, "image", sum(self.draws), sum(self.draws[: trainer.current_epoch]))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of the batch."""
        if self.bar is not None:
            self.bar.update(len(batch[1]))

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report the epoch's score."""
        if self.bar is not None:
            position = f"epoch {trainer.current_epoch + 1:>2}/{len(self.draws)}"
            self.bar.report(position, f"macro F1 {float(trainer.callback_metrics['valid_macro_f1']):.3f}")

    def teardown(self, *_: Any, **__: Any) -> None:
        """Close the bar, also after an error."""
        if self.bar is not None:
            self.bar.close()
