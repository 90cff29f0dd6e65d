"""Train one entry by its recipe, choose its best epoch, and score it: `runs/<study>/<entry>/`."""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from safetensors import safe_open
from safetensors.torch import save

from lesions import split, store
from lesions.labels import CLASSES
from train.best import Best, recipe_of
from train.data import Splits
from train.loss import class_weights
from train.module import Classification, freeze
from train.progress import Progress
from zoo import network, provenance, recipe, scores
from zoo.study import Folders


def fit(folders: Folders, name: str) -> None:
    """Train the entry `name` by its `recipe.json`, or go on with it, and write weights, predictions and scores.

    `weights.safetensors` is written last: where it is newer than the recipe, all of the run is whole.
    """
    run = folders.run(name)
    resolved = recipe.read(run / "recipe.json")
    weights = run / "weights.safetensors"
    if recipe_in(weights) == resolved.sha256:
        print(f"{name}: trained by this recipe already")
        os.utime(weights)
        return
    pl.seed_everything(resolved.seed, verbose=False)
    torch.set_num_threads(resolved.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    study = folders.read()
    described = recipe.Data.model_validate_json((folders.runs / "data.json").read_text())
    loaded = store.load(folders.store(study))
    pool = None if resolved.generator is None else store.load(folders.pool(resolved.generator, study))
    splits = Splits(resolved, loaded, split.read(folders.runs / "split.csv", loaded.index.images), pool)

    built = network.build(resolved.architecture)
    mean, deviation = described.mean, described.deviation
    if resolved.parent_sha256 is not None:
        network.load(built, folders.run(resolved.start.removeprefix("parent ")) / "weights.safetensors")
    elif resolved.start != "random":
        network.load(built, folders.run("source") / "weights.safetensors", without_classifier=True)
    if resolved.normalise == "weights":
        mean, deviation = network.pretrained_statistics(built)
    if resolved.trainable_tensors is not None:
        freeze(built, resolved.trainable_tensors)
    weighted = resolved.loss == "weighted_cross_entropy"
    module = Classification(
        built,
        classes=len(CLASSES),
        mean=mean,
        deviation=deviation,
        weights=class_weights(splits.labels[splits.drawn(0)]) if weighted else None,
        learning_rate=resolved.learning_rate,
        seed=resolved.seed,
    )
    checkpoint = run / "last.ckpt"
    resumed = recipe_of(checkpoint) == resolved.sha256
    if not resumed:
        checkpoint.unlink(missing_ok=True)
        provenance.begin(run / "training.json")
    best = Best(resolved.sha256, checkpoint)
    trainer = _trainer(resolved.epochs, run, [best, Progress(name, resolved.draws)])
    with provenance.timed(run / "training.json"):
        trainer.fit(module, datamodule=splits, ckpt_path=checkpoint if resumed else None, weights_only=True)
    _finish(run, resolved, module, splits, best)


def recipe_in(weights: Path) -> str | None:
    """The digest of the recipe by which the file `weights` was trained; none if it is not there."""
    if not weights.is_file():
        return None
    with safe_open(weights, "pt") as opened:
        metadata: dict[str, str] = opened.metadata() or {}
    return metadata.get("recipe_sha256")


def _trainer(epochs: int, run: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the cache is memory-mapped: none is faster
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # between Lightning and torch
    attempt = len(list((run / "logs" / "csv").glob("version_*")))
    on_gpu = torch.cuda.is_available()
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision="16-mixed" if on_gpu else "32-true",  # as in the thesis
        max_epochs=epochs,
        logger=[TensorBoardLogger(run / "logs", "tensorboard", attempt), CSVLogger(run / "logs", "csv", attempt)],
        callbacks=callbacks,
        reload_dataloaders_every_n_epochs=1,  # each epoch has draws of its own
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )


def _finish(run: Path, resolved: recipe.Recipe, module: Classification, splits: Splits, best: Best) -> None:
    """Predict and score with the best epoch's weights and, for comparison, with the last one's, as a server would."""
    built = module.network.cpu()
    last = _predict(built, module.mean, module.deviation, splits)
    built.load_state_dict(best.weights)
    chosen = _predict(built, module.mean, module.deviation, splits)
    index = splits.store.index

    def scored(probabilities: NDArray[np.float32], part: int) -> dict[str, object]:
        rows = splits.positions(part)
        lesions = [index.lesions[row] for row in rows]
        return scores.score(scores.Predictions(index.labels[rows], probabilities[rows], lesions)).model_dump()

    report = {
        "recipe_sha256": resolved.sha256,
        "mean": module.mean,
        "deviation": module.deviation,
        "best_epoch": best.epoch + 1,
        "valid": scored(chosen, 1),
        "test": scored(chosen, 2),
        "last_epoch": {"valid": scored(last, 1), "test": scored(last, 2)},
        "history": best.history,
    }
    tensors = {key: tensor.contiguous() for key, tensor in best.weights.items()}
    _replace(run / "predictions.csv", _table(chosen, splits).encode())
    _replace(run / "scores.json", (json.dumps(report, indent=1) + "\n").encode())
    _replace(run / "weights.safetensors", save(tensors, {"recipe_sha256": resolved.sha256}))


def _predict(
    built: torch.nn.Module, mean: Sequence[float], deviation: Sequence[float], splits: Splits
) -> NDArray[np.float32]:
    """Probabilities [n, 7] of the validation and test images; rows of training images are zero."""
    answers = np.zeros((len(splits.store.index), len(CLASSES)), dtype=np.float32)
    rows = np.flatnonzero(splits.parts > 0)
    for block in np.array_split(rows, max(1, len(rows) // 64)):
        images = torch.from_numpy(splits.store.images[block])
        answers[block] = network.probabilities(built, images, mean, deviation).numpy()
    return answers


def _table(probabilities: NDArray[np.float32], splits: Splits) -> str:
    """CSV of image, part, true class and the seven probabilities."""
    index = splits.store.index
    lines = [",".join(("image", "part", "label", *CLASSES))]
    for row in np.flatnonzero(splits.parts > 0):
        told = ",".join(f"{value:.7f}" for value in probabilities[row])
        lines.append(f"{index.images[row]},{split.PARTS[splits.parts[row]]},{CLASSES[index.labels[row]]},{told}")
    return "\n".join(lines) + "\n"


def _replace(file: Path, content: bytes) -> None:
    aside = file.with_name(file.name + ".part")
    aside.write_bytes(content)
    aside.replace(file)
