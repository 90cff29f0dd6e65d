"""How far a training is, for the person who waits: a bar on a terminal of its own, else a line an epoch."""

import os
import sys
import time
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm


class Progress(pl.Callback):
    """Shows `name`, the epoch, validation macro F1, and an estimate of the time left by the images to come."""

    def __init__(self, name: str, draws: list[int]) -> None:
        self.name, self.draws = name, draws
        # Trainings side by side under `make -j` share one terminal, where two bars would overwrite each other.
        self.bar_wanted = sys.stderr.isatty() and "--jobserver" not in os.environ.get("MAKEFLAGS", "")
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin to count."""
        self.started, self.begun_with = time.monotonic(), sum(self.draws[: trainer.current_epoch])
        if trainer.current_epoch:
            print(f"{self.name}: goes on from epoch {trainer.current_epoch + 1}", file=sys.stderr, flush=True)
        if self.bar_wanted:
            self.bar = tqdm(total=sum(self.draws), initial=self.begun_with, desc=self.name, unit="image")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(len(batch[1]))

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say what the epoch came to."""
        done = sum(self.draws[: trainer.current_epoch + 1])
        score = f"macro F1 {float(trainer.callback_metrics['valid_macro_f1']):.3f}"
        if self.bar is not None:
            self.bar.set_postfix_str(score)
            return
        left = (time.monotonic() - self.started) / (done - self.begun_with) * (sum(self.draws) - done)
        epoch = f"epoch {trainer.current_epoch + 1:>2}/{len(self.draws)}"
        minutes, seconds = divmod(round(left), 60)
        wait = f"about {minutes}:{seconds:02} left" if left else "trained"
        print(f"{self.name}: {epoch}  {score}  {wait}", file=sys.stderr, flush=True)

    def teardown(self, *_: Any, **__: Any) -> None:
        """Close the bar, also after an error."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
