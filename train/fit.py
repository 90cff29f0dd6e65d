"""Train one entry by its recipe, choose its best epoch, and score it: `runs/<study>/<entry>/`."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from safetensors.torch import save

from lesions import split, store
from lesions.errors import UserError
from lesions.files import atomic_write, file_lock, is_json_object
from lesions.labels import CLASSES
from train.best import AtomicCheckpointIO, BestEpoch, checkpoint_origin
from train.data import LesionDataModule
from train.loss import class_weights
from train.module import ClassifierModule, freeze
from train.progress import Progress
from zoo import recipe
from zoo.build import integrity, provenance
from zoo.metrics import predictions, scores
from zoo.metrics.calibration import Calibration, Logits, calibrate, class_shares
from zoo.models import network
from zoo.study import Folders

Precision = Literal["16-mixed", "32-true"]


class TrainingError(UserError):
    """A training that cannot go on as things are: what it goes by has changed, or the disk is full.

    `str()` says what is wrong and what to do.
    """


def fit(folders: Folders, name: str) -> None:
    """Train the entry `name` by its `recipe.json`, or go on with it, and write weights, predictions and scores.

    `weights.safetensors` is written last, and says in its metadata what it was made of. Raises `TrainingError` where
    data or split are not those of the recipe, the recipe was rewritten meanwhile, or a file cannot be written.
    """
    run = folders.run(name)
    with file_lock(run):
        resolved = recipe.read(run / "recipe.json")
        start = _start(folders, resolved)
        origin = {"recipe_sha256": resolved.sha256, "start_sha256": "" if start is None else _sha256(start)}
        made = integrity.is_complete(run, resolved.sha256, integrity.CLASSIFIER)
        if made and integrity.origin_of(run / "weights.safetensors") == origin:
            print(f"{name}: trained by this recipe already")
            os.utime(run / "weights.safetensors")
            return
        try:
            _train(folders, run, resolved, start, origin)
        except OSError as error:
            where = f"{error.filename or run}: {error.strerror or error}"
            raise TrainingError(f"{name}: {where}; with that mended, `make zoo` goes on from the last epoch") from None


def _start(folders: Folders, resolved: recipe.Recipe) -> Path | None:
    """The weights that training starts from; none for random ones."""
    if resolved.parent_sha256 is not None:
        return folders.run(resolved.start.removeprefix("parent ")) / "weights.safetensors"
    return None if resolved.start == "random" else folders.run("source") / "weights.safetensors"


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _data(folders: Folders, resolved: recipe.Recipe) -> LesionDataModule:
    """The data that the recipe names. Raises `TrainingError` if they are no longer those."""
    study = folders.read()
    loaded = store.load(folders.store(study))
    if loaded.digest != resolved.store_sha256 or split.digest(folders.split) != resolved.split_sha256:
        raise TrainingError(
            f"{resolved.entry}: images or split are no longer those of its recipe; run `make zoo` again"
        )
    pool = None if resolved.generator is None else store.load(folders.pool(resolved.generator, study))
    return LesionDataModule(resolved, loaded, split.read(folders.split, loaded.index.images), pool)


def _train(folders: Folders, run: Path, resolved: recipe.Recipe, start: Path | None, origin: dict[str, str]) -> None:
    pl.seed_everything(resolved.seed, verbose=False)
    torch.set_num_threads(resolved.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    splits = _data(folders, resolved)
    described = recipe.read_data(folders.described)
    built = network.build(resolved.architecture)
    mean, std = described.mean, described.std
    if start is not None:
        network.load(built, start, without_classifier=resolved.parent_sha256 is None)
        if resolved.normalise == "weights":
            mean, std = network.pretrained_statistics(built, start)
    if resolved.trainable_tensors is not None:
        freeze(built, resolved.trainable_tensors)
    weighted = resolved.loss == "weighted_cross_entropy"
    module = ClassifierModule(
        built,
        classes=len(CLASSES),
        mean=mean,
        std=std,
        weights=class_weights(splits.labels[splits.drawn(0)]) if weighted else None,
        learning_rate=resolved.learning_rate,
        seed=resolved.seed,
    )
    checkpoint = run / "last.ckpt"
    precision: Precision = "16-mixed" if torch.cuda.is_available() else "32-true"  # on a GPU as in the thesis
    best = BestEpoch(origin | {"precision": precision}, checkpoint)
    resumed = checkpoint_origin(checkpoint) == best.origin
    if not (resumed and is_json_object(run / "training.json")):
        provenance.begin(run / "training.json")
    if not resumed:
        checkpoint.unlink(missing_ok=True)
    trainer = lightning(resolved.epochs, precision, run, [best, Progress(resolved.entry, resolved.draws)])
    with provenance.timed(run / "training.json"):
        trainer.fit(module, datamodule=splits, ckpt_path=checkpoint if resumed else None, weights_only=True)
    if recipe.read(run / "recipe.json") != resolved:
        raise TrainingError(f"{resolved.entry}: its recipe was changed while it trained; run `make zoo` again")
    _finish(run, resolved, module, splits, best, origin)


def lightning(epochs: int, precision: Precision, run: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer, which logs into `run`: one device, a GPU if there is one, and no output of its own."""
    attempt = len(list((run / "logs" / "csv").glob("version_*")))
    return pl.Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,
        max_epochs=epochs,
        logger=[TensorBoardLogger(run / "logs", "tensorboard", attempt), CSVLogger(run / "logs", "csv", attempt)],
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        reload_dataloaders_every_n_epochs=1,  # each epoch has draws of its own
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )


def _finish(
    run: Path,
    resolved: recipe.Recipe,
    module: ClassifierModule,
    splits: LesionDataModule,
    best: BestEpoch,
    origin: dict[str, str],
) -> None:
    """Predict, calibrate and score with the best epoch's weights, as a server would.

    The last epoch's, scored for comparison, are not calibrated: nobody serves them.
    """
    built = module.network.cpu()
    last = _logits(built, module.mean, module.std, splits)
    built.load_state_dict(best.weights)
    chosen = _logits(built, module.mean, module.std, splits)
    calibration = _calibration(chosen, splits, module, best.epoch)
    told = network.temperature_softmax(chosen, calibration.temperature).numpy()
    plain = network.temperature_softmax(last, 1).numpy()
    index = splits.store.index

    def scored(probabilities: NDArray[np.float32], part: int) -> dict[str, object]:
        rows = splits.positions(part)
        lesions = [index.lesions[row] for row in rows]
        return scores.score(scores.Predictions(index.labels[rows], probabilities[rows], lesions)).model_dump()

    report = {
        "recipe_sha256": resolved.sha256,
        "mean": module.mean,
        "deviation": module.std,
        "best_epoch": best.epoch + 1,
        "valid": scored(told, 1),
        "test": scored(told, 2),
        "calibration": calibration.model_dump(exclude_none=True),
        "last_epoch": {"valid": scored(plain, 1), "test": scored(plain, 2)},
        "history": best.history,
    }
    tensors = {key: tensor.contiguous() for key, tensor in best.weights.items()}
    held_out = splits.held_out()
    predictions.write(run / "predictions.csv", index.take(held_out), splits.parts[held_out], told[held_out])
    atomic_write(run / "scores.json", json.dumps(report, indent=1) + "\n")
    # One key, since safetensors writes several in random order.
    atomic_write(run / "weights.safetensors", save(tensors, {"origin": json.dumps(origin)}))


def _logits(
    built: torch.nn.Module, mean: Sequence[float], std: Sequence[float], splits: LesionDataModule
) -> torch.Tensor:
    """Logits [n, 7] of the validation and test images; the rows of all others are zero."""
    answers = torch.zeros(len(splits.store.index), len(CLASSES))
    rows = splits.held_out()
    for block in np.array_split(rows, max(1, len(rows) // 64)):
        images = torch.from_numpy(splits.store.images[block])
        answers[block] = network.logits(built, images, mean, std)
    return answers


def _calibration(said: torch.Tensor, splits: LesionDataModule, module: ClassifierModule, epoch: int) -> Calibration:
    """Calibrate the logits `said` [n, 7] of a network that has just seen what `epoch` (from 0) draws."""
    labels = splits.store.index.labels
    valid, test = (Logits(said[rows].numpy(), labels[rows]) for rows in map(splits.positions, (1, 2)))
    weights = None if module.class_weights is None else module.class_weights.cpu().numpy()
    seen = class_shares(splits.labels[splits.drawn(epoch)], weights)
    return calibrate(valid, test, natural=class_shares(labels[splits.positions(0)]), seen=seen)
