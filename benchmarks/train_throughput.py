"""`python -m benchmarks.train_throughput`: images/s of training, against a bare PyTorch loop on tensors in memory.

Same network, images, batch and threads. All variants take turns in one process, so that whatever else the machine does
hits them alike; ratios are of medians. Beside the default (float32, channels last) it times what bf16 autocast and
contiguous memory give in the bare loop.
"""

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
import typer
from torch.nn.functional import cross_entropy

from lesions.index import Index
from lesions.labels import CLASSES
from lesions.store import Store
from train.data import LesionDataModule
from train.fit import configure_trainer
from train.module import ClassifierModule
from zoo.kinds.classifier import ClassifierRecipe
from zoo.models import network
from zoo.models.network import normalize

MEAN, STD = [0.76, 0.54, 0.56], [0.14, 0.15, 0.17]


class Stopwatch(pl.Callback):
    """Seconds from the first batch's start to the last one's end, validation and set-up left out."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Start with the first batch."""
        if batch_idx == 0:
            self.begun = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop with the last that has come."""
        self.seconds = time.perf_counter() - self.begun


def main(
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_b0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 64,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 20,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 1,
    images: Annotated[int, typer.Option(help="Of one round.")] = 400,
    rounds: Annotated[int, typer.Option(help="Of each variant, after one to warm up.")] = 5,
) -> None:
    """Print images/s of each variant (median, least, most) and its ratio to the bare loop."""
    torch.set_num_threads(threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (images + batch, pixels, pixels, 3), dtype=np.uint8)
    labels = random.integers(0, len(CLASSES), images + batch)
    variants: dict[str, Callable[[], float]] = {
        "bare loop": lambda: _bare(arch, pictures[:images], labels[:images], batch),
        "python -m train": lambda: _train(arch, pictures, labels, batch, threads),
        "bare loop, bf16 autocast": lambda: _bare(arch, pictures[:images], labels[:images], batch, bf16=True),
        "bare loop, contiguous": lambda: _bare(arch, pictures[:images], labels[:images], batch, contiguous=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, run in variants.items():
            rate = images / run()
            if turn:
                rates[name].append(rate)
    reference = statistics.median(rates["bare loop"])
    print(f"{arch}, {pixels} px, batch {batch}, {threads} thread(s), {rounds} rounds of {images} images")
    for name, values in rates.items():
        median = statistics.median(values)
        print(
            f"{name:26}{median:7.1f} images/s ({min(values):.1f} to {max(values):.1f}), ratio {median / reference:.3f}"
        )


def _bare(
    arch: str,
    pictures: np.ndarray[Any, np.dtype[np.uint8]],
    labels: np.ndarray[Any, np.dtype[np.int64]],
    batch: int,
    bf16: bool = False,
    contiguous: bool = False,
) -> float:
    """Seconds of one pass over normalized tensors in memory."""
    torch.manual_seed(0)
    memory = torch.contiguous_format if contiguous else torch.channels_last
    model = network.build(arch).to(memory_format=memory)
    inputs = normalize(torch.from_numpy(pictures), MEAN, STD).contiguous(memory_format=memory)
    targets = torch.from_numpy(labels)
    adam = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    begun = time.perf_counter()
    for start in range(0, len(inputs), batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(inputs[start : start + batch])
        loss = cross_entropy(logits.float(), targets[start : start + batch])
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return time.perf_counter() - begun


def _train(
    arch: str,
    pictures: np.ndarray[Any, np.dtype[np.uint8]],
    labels: np.ndarray[Any, np.dtype[np.int64]],
    batch: int,
    threads: int,
) -> float:
    """Seconds of one epoch's batches as `train` makes them; the last batch of the images is for validation."""
    torch.manual_seed(0)
    count = len(pictures)
    names = tuple(str(k) for k in range(count))
    parts = np.array([0] * (count - batch) + [1] * batch)
    resolved = ClassifierRecipe(
        entry="benchmark",
        architecture=arch,
        pixels=pictures.shape[1],
        seed=0,
        threads=threads,
        store_sha256="",
        split_sha256="",
        start="random",
        parent_sha256=None,
        batch=batch,
        learning_rate=3e-4,
        loss="cross_entropy",
        sampling="natural",
        draws=[count - batch],
        trainable_tensors=None,
        normalise="data",
    )
    splits = LesionDataModule(resolved, Store(Index(names, labels, names), pictures, ""), parts)
    module = ClassifierModule(network.build(arch), resolved, len(CLASSES), MEAN, STD)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        configure_trainer(1, "32-true", Path(folder), [watch]).fit(module, datamodule=splits)
    return watch.seconds


if __name__ == "__main__":
    typer.run(main)
