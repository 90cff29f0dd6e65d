"""Train one classifier by its recipe, or go on with it: `runs/<study>/<entry>/`."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from lesions import split, store
from lesions.errors import UserError
from lesions.files import file_lock, is_json_object, sha256
from lesions.labels import CLASSES
from train.best import AtomicCheckpointIO, BestEpoch, DivergedError, checkpoint_origin
from train.data import LesionDataModule
from train.loss import ClassificationLoss, NotDrawnError
from train.module import ClassifierModule, freeze
from train.progress import Progress
from train.score import finish, shares_seen
from zoo.build import integrity, provenance
from zoo.kinds.base import Data, Parent, read_json
from zoo.kinds.classifier import ClassifierRecipe
from zoo.metrics.calibration import class_shares
from zoo.models import export, network
from zoo.models.determinism import compute_deterministically
from zoo.models.weights import origin_of
from zoo.study import Folders

Precision = Literal["16-mixed", "32-true"]


class TrainingError(UserError):
    """A training that cannot go on: what it depends on has changed, its loss is no number, or the disk is full."""


def fit(folders: Folders, name: str) -> None:
    """Train the entry `name` by its `recipe.json`, or go on with it, and write weights, predictions and scores.

    `weights.safetensors` is written last, and says in its metadata what it was made of. Raises `TrainingError` where
    data or split are not those of the recipe, the recipe was rewritten meanwhile, a class that needs a weight is not
    drawn, the loss is no number any more, or a file cannot be written.
    """
    run = folders.run(name)
    with file_lock(run):
        recipe = ClassifierRecipe.read(run / "recipe.json")
        start = None if recipe.start_run is None else folders.run(recipe.start_run) / "weights.safetensors"
        origin = {"recipe_sha256": recipe.sha256, "start_sha256": "" if start is None else sha256(start)}
        weights = run / "weights.safetensors"
        complete = integrity.is_complete(run, recipe) and _same_pool(folders, run, recipe)
        if complete and origin_of(weights) == origin:
            print(f"{name}: trained by this recipe already")
            os.utime(weights)
            return
        try:
            _train(folders, run, recipe, start, origin)
        except (DivergedError, NotDrawnError) as error:
            raise TrainingError(f"{name}: {error}") from None
        except OSError as error:
            where = f"{error.filename or run}: {error.strerror or error}"
            raise TrainingError(f"{name}: {where}; with that mended, `make zoo` goes on from the last epoch") from None


def _same_pool(folders: Folders, run: Path, recipe: ClassifierRecipe) -> bool:
    """Whether `scores.json` names the pool that there is now; earlier versions did not name it, and are trusted."""
    if recipe.generator is None:
        return True
    learned_from = json.loads((run / "scores.json").read_bytes()).get("pool_sha256")
    return learned_from in (None, store.digest(folders.pool(recipe.generator, folders.read())))


def _load_data(folders: Folders, recipe: ClassifierRecipe) -> LesionDataModule:
    """The data that the recipe names. Raises `TrainingError` if they are no longer those."""
    study = folders.read()
    loaded = store.load(folders.store(study))
    if loaded.digest != recipe.store_sha256 or split.digest(folders.split) != recipe.split_sha256:
        raise TrainingError(f"{recipe.entry}: images or split are no longer those of its recipe; run `make zoo` again")
    pool = None if recipe.generator is None else store.load(folders.pool(recipe.generator, study))
    return LesionDataModule(recipe, loaded, split.read(folders.split, loaded.index.images), pool)


def _train(folders: Folders, run: Path, recipe: ClassifierRecipe, start: Path | None, origin: dict[str, str]) -> None:
    pl.seed_everything(recipe.seed, verbose=False)
    compute_deterministically(recipe.threads)
    data = _load_data(folders, recipe)
    described = read_json(Data, folders.data)
    model = network.build(recipe.architecture, drop=recipe.drop)
    mean, std = described.mean, described.std
    if start is not None:
        network.load(model, start, without_classifier=not isinstance(recipe.start, Parent))
        if isinstance(recipe.start, Parent):
            mean, std = (_scores_of(start)[key] for key in ("mean", "deviation"))
        elif recipe.normalise == "weights":
            mean, std = network.pretrained_statistics(model)
    if recipe.trainable_tensors is not None:
        freeze(model, recipe.trainable_tensors)
    loss = ClassificationLoss.from_recipe(recipe, data.labels_of(data.positions_of_epoch(0))) if recipe.draws else None
    module = ClassifierModule(model, recipe, classes=len(CLASSES), mean=mean, std=std, loss=loss)
    # Before hours of training.
    export.check_exportable(recipe.architecture, recipe.pixels, recipe.views, folders.graphs)
    checkpoint = run / "last.ckpt"
    precision: Precision = "16-mixed" if torch.cuda.is_available() else "32-true"  # on a GPU as in the thesis
    learned_from = {} if data.pool is None else {"pool_sha256": data.pool.digest}
    best = BestEpoch(origin | {"precision": precision} | learned_from, checkpoint, recipe.keep)
    resumed = checkpoint_origin(checkpoint) == best.origin
    if not (resumed and is_json_object(run / "training.json")):
        provenance.begin(run / "training.json")
    if not resumed:
        checkpoint.unlink(missing_ok=True)
    with provenance.timed(run / "training.json") as note:
        if recipe.draws:
            noted = pl.callbacks.LambdaCallback(on_train_epoch_end=lambda *_: note())
            callbacks = [best, noted, Progress(recipe.entry, recipe.draws)]
            trainer = configure_trainer(recipe.epochs, precision, run, callbacks)
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint if resumed else None, weights_only=True)
        else:
            best.weights = dict(model.state_dict())
    if ClassifierRecipe.read(run / "recipe.json") != recipe:
        raise TrainingError(f"{recipe.entry}: its recipe was changed while it trained; run `make zoo` again")
    if recipe.draws:
        seen = shares_seen(recipe, data, module.loss, best.epoch)
    else:
        assert start is not None
        seen = shares_of_parent(_scores_of(start), data)
    finish(run, recipe, module, data, best, origin, seen, folders.graphs)


def _scores_of(weights: Path) -> dict[str, Any]:
    """The `scores.json` beside an entry's weights."""
    return dict(json.loads(weights.with_name("scores.json").read_bytes()))


def shares_of_parent(scores: dict[str, Any], data: LesionDataModule) -> NDArray[np.float64]:
    """`train.score.shares_seen` of the parent, by its scores."""
    corrected = scores["calibration"].get("prior_corrected")
    if corrected is None:  # it saw the natural shares
        return class_shares(data.labels_of(data.positions(0)))
    return np.array([corrected["seen"][name] for name in CLASSES])


def configure_trainer(epochs: int, precision: Precision, run: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer, which logs into `run`: one device, a GPU if there is one, and no output of its own."""
    attempt = len(list((run / "logs" / "csv").glob("version_*")))
    return pl.Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,
        max_epochs=epochs,
        logger=[TensorBoardLogger(run / "logs", "tensorboard", attempt), CSVLogger(run / "logs", "csv", attempt)],
        callbacks=callbacks,
        # Else Lightning, in a job of Slurm, would put it on the queue again itself, and elsewhere ask for srun.
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        reload_dataloaders_every_n_epochs=1,  # each epoch has draws of its own
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
