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
from train.module import ClassifierModule
from zoo.kinds.classifier import ClassifierRecipe
from zoo.metrics import predictions, scores
from zoo.metrics.calibration import Calibration, Logits, calibrate, class_shares
from zoo.models.export import ClassifierGraph, export_classifier
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
    graphs: Path,
) -> None:
    """Write `predictions.csv`, `model.onnx`, `scores.json` and, last, `weights.safetensors` into the folder `run`.

    Probabilities come from `model.onnx`, which is what is served. Those of the last epoch, scored for comparison, are
    not calibrated: nobody serves them. `graphs` is the cache of exported graphs. Raises `zoo.models.export.ExportError`
    where the export answers otherwise than the network.
    """
    network = module.network.cpu()
    last = torch.softmax(torch.from_numpy(_logits(module, data)), dim=1).numpy()
    network.load_state_dict(best.weights)
    calibration = _calibrate(_logits(module, data), data, module, best.epoch)
    graph = ClassifierGraph(network, module.mean, module.std, calibration.temperature, recipe.pixels)
    images = data.store.images
    model = export_classifier(graph, recipe.architecture, images[data.positions(VALID)], graphs)
    probabilities, rows = np.zeros_like(last), data.held_out()
    predictor = Predictor(model, recipe.pixels, len(CLASSES))
    for block in np.array_split(rows, max(1, len(rows) // CHUNK)):
        probabilities[block] = predictor.probabilities(images[block])
    report = {
        "recipe_sha256": recipe.sha256,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "mean": module.mean,
        "deviation": module.std,
        "best_epoch": best.epoch + 1,
        "valid": _score(probabilities, data, VALID),
        "test": _score(probabilities, data, TEST),
        "calibration": calibration.model_dump(exclude_none=True),
        "last_epoch": {"valid": _score(last, data, VALID), "test": _score(last, data, TEST)},
        "history": best.history,
    }
    predictions.write(run / "predictions.csv", data.store.index.take(rows), data.parts[rows], probabilities[rows])
    atomic_write(run / MODEL, model)
    atomic_write(run / "scores.json", json.dumps(report, indent=1) + "\n")
    tensors = {key: tensor.contiguous() for key, tensor in best.weights.items()}
    # One key, since safetensors writes several in random order.
    atomic_write(run / "weights.safetensors", save(tensors, {"origin": json.dumps(origin)}))


def _logits(module: ClassifierModule, data: LesionDataModule) -> NDArray[np.float32]:
    """Logits [n, 7] of the validation and test images; the rows of all others are zero."""
    result = np.zeros((len(data.store.index), len(CLASSES)), dtype=np.float32)
    rows = data.held_out()
    for block in np.array_split(rows, max(1, len(rows) // CHUNK)):
        result[block] = logits(module.network, data.store.images[block], module.mean, module.std)
    return result


def _calibrate(
    logits: NDArray[np.float32], data: LesionDataModule, module: ClassifierModule, epoch: int
) -> Calibration:
    """Calibrate the `logits` [n, 7] of a network that has just seen what `epoch` (from 0) draws."""
    labels = data.store.index.labels
    valid, test = (Logits(logits[rows], labels[rows]) for rows in map(data.positions, (VALID, TEST)))
    weights = None if module.loss.class_weights is None else module.loss.class_weights.cpu().numpy()
    seen = class_shares(data.labels_of(data.positions_of_epoch(epoch)), weights)
    return calibrate(valid, test, natural=class_shares(labels[data.positions(0)]), seen=seen)


def _score(probabilities: NDArray[np.float32], data: LesionDataModule, part: int) -> dict[str, object]:
    """The scores of one part of the split, from the probabilities [n, 7] of all images."""
    rows = data.positions(part)
    index = data.store.index.take(rows)
    return scores.score(scores.Predictions(index.labels, probabilities[rows], index.lesions)).model_dump()
