"""After the last epoch: calibrate, export and score the best epoch's weights, and write what a finished run has."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from lesions.files import atomic_write
from lesions.labels import CLASSES
from lesions.split import PARTS
from train.best import BestEpoch
from train.data import LesionDataModule
from train.loss import ClassificationLoss
from train.module import ClassifierModule
from zoo.kinds.classifier import ClassifierRecipe
from zoo.metrics import predictions, scores
from zoo.metrics.calibration import Calibration, Logits, calibrate, class_shares
from zoo.metrics.evaluation import evaluate
from zoo.metrics.scores import Predictions
from zoo.models.export import ClassifierGraph, export_classifier, with_views
from zoo.models.network import CHUNK, logits
from zoo.models.predictor import Predictor
from zoo.models.session import MODEL

VALID, TEST = PARTS.index("valid"), PARTS.index("test")


def finish(
    run: Path,
    recipe: ClassifierRecipe,
    module: ClassifierModule,
    data: LesionDataModule,
    best: BestEpoch,
    origin: dict[str, str],
    seen: NDArray[np.float64],
    graphs: Path,
) -> None:
    """Write `predictions.csv`, `model.onnx`, `scores.json` and, last, `weights.safetensors` into the folder `run`.

    Probabilities come from `model.onnx`, which is what is served. Those of the last epoch, scored for comparison, are
    not calibrated: nobody serves them. `seen` are the shares of the classes, [7], whose posterior the logits are;
    `graphs` is the cache of exported graphs. Raises `zoo.models.export.ExportError` where the export answers otherwise
    than the network.
    """
    kept = module.kept.cpu()
    network = with_views(kept, recipe.views)
    kept_logits = last_logits = _logits(network, module, data)
    if best.epoch + 1 < recipe.epochs:
        kept.load_state_dict(best.weights)
        kept_logits = _logits(network, module, data)
    last = torch.softmax(torch.from_numpy(last_logits), dim=1).numpy()
    calibration = _calibrate(kept_logits, data, seen)
    graph = ClassifierGraph(network, module.mean, module.std, calibration.temperature, recipe.pixels)
    images = data.store.images
    checked = images[data.positions(VALID)[:: recipe.views]]  # as many pictures go through the network either way
    model = export_classifier(graph, recipe.architecture, checked, graphs)
    probabilities, rows = np.zeros_like(last), data.held_out()
    predictor = Predictor(model, recipe.pixels, len(CLASSES))
    for block in np.array_split(rows, max(1, len(rows) // CHUNK)):
        probabilities[block] = predictor.probabilities(images[block])
    # Killed from here on, the run has no weights that what is written now does not belong to.
    (run / "weights.safetensors").unlink(missing_ok=True)
    report = {
        "recipe_sha256": recipe.sha256,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "mean": module.mean,
        "deviation": module.std,
        "best_epoch": best.epoch + 1,
        **evaluate(_predictions(probabilities, data, VALID), _predictions(probabilities, data, TEST)),
        "calibration": calibration.model_dump(exclude_none=True),
        "last_epoch": {
            name: scores.score(_predictions(last, data, part)).model_dump()
            for name, part in (("valid", VALID), ("test", TEST))
        },
        "history": best.history,
    } | ({} if data.pool is None else {"pool_sha256": data.pool.digest})
    predictions.write(run / "predictions.csv", data.store.index.take(rows), data.parts[rows], probabilities[rows])
    atomic_write(run / MODEL, model)
    atomic_write(run / "scores.json", json.dumps(report, indent=1) + "\n")
    tensors = {key: tensor.contiguous() for key, tensor in best.weights.items()}
    # One key, since safetensors writes several in random order.
    atomic_write(run / "weights.safetensors", save(tensors, {"origin": json.dumps(origin)}))


def shares_seen(
    recipe: ClassifierRecipe, data: LesionDataModule, loss: ClassificationLoss, epoch: int
) -> NDArray[np.float64]:
    """The shares of the classes, [7], whose posterior a network's logits are that has just seen `epoch` (from 0).

    Those of the images drawn, times their class's weight in the loss. With logit adjustment t, to the power 1 - t: the
    loss sees the posterior of all of it, and the network is what is left.
    """
    weights = None if loss.class_weights is None else loss.class_weights.cpu().numpy()
    shares = class_shares(data.labels_of(data.positions_of_epoch(epoch)), weights)
    adjusted = shares ** (1 - recipe.logit_adjustment)
    return np.asarray(adjusted / adjusted.sum())


def _logits(network: torch.nn.Module, module: ClassifierModule, data: LesionDataModule) -> NDArray[np.float32]:
    """Logits [n, 7] of the validation and test images; the rows of all others are zero."""
    result = np.zeros((len(data.store.index), len(CLASSES)), dtype=np.float32)
    rows = data.held_out()
    for block in np.array_split(rows, max(1, len(rows) // CHUNK)):
        result[block] = logits(network, data.store.images[block], module.mean, module.std)
    return result


def _calibrate(logits: NDArray[np.float32], data: LesionDataModule, seen: NDArray[np.float64]) -> Calibration:
    """Calibrate the `logits` [n, 7] of a network, the posterior of classes whose shares are `seen` [7]."""
    labels = data.store.index.labels
    valid, test = (Logits(logits[rows], labels[rows]) for rows in map(data.positions, (VALID, TEST)))
    return calibrate(valid, test, natural=class_shares(labels[data.positions(0)]), seen=seen)


def _predictions(probabilities: NDArray[np.float32], data: LesionDataModule, part: int) -> Predictions:
    """Those of one part of the split, from the probabilities [n, 7] of all images."""
    rows = data.positions(part)
    index = data.store.index.take(rows)
    return Predictions(index.labels, probabilities[rows], index.lesions)
