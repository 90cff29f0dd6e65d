"""Make an ensemble of trained classifiers: fit its weights, put its graph together, and score it."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from lesions import split, store
from lesions.files import atomic_write, file_lock, sha256
from lesions.labels import CLASSES
from zoo.build import integrity, provenance
from zoo.kinds.ensemble import EnsembleRecipe
from zoo.metrics import predictions, scores
from zoo.metrics.calibration import Calibration, coefficients, without_temperature
from zoo.metrics.evaluation import evaluate
from zoo.metrics.scores import Predictions
from zoo.models import ensemble_graph
from zoo.models.predictor import Predictor
from zoo.models.session import MODEL
from zoo.models.weights import origin_of
from zoo.progress import ProgressBar
from zoo.study import Folders, StudyError

CHECKED = 32
"""Images of validation on which the graph is compared with its members."""
BLOCK = 64
"""Images from one update of the progress bar to the next."""


def make(folders: Folders, name: str) -> None:
    """Make the ensemble `name` by its `recipe.json`: weights, model, predictions and scores in its run.

    `weights.safetensors` is written last; it holds the members' coefficients, and says what they were fitted on.
    Raises `StudyError` where a member is not trained by the recipe that the ensemble names, and
    `zoo.models.onnx_graph.ExportError` where the members cannot be put together.
    """
    run = folders.run(name)
    with file_lock(run):
        recipe = EnsembleRecipe.read(run / "recipe.json")
        digests = {member: _model_digest(folders, member, expected) for member, expected in recipe.members.items()}
        origin = {"recipe_sha256": recipe.sha256, "members": json.dumps(digests)}
        weights = run / "weights.safetensors"
        if integrity.is_complete(run, recipe) and origin_of(weights) == origin:
            print(f"{name}: made of these members already")
            os.utime(weights)
            return
        provenance.begin(run / "training.json")
        with provenance.timed(run / "training.json"):
            _make(folders, run, recipe, origin)


def _model_digest(folders: Folders, member: str, recipe_sha256: str) -> str:
    """The sha256 (hex) of a member's model. Raises `StudyError` where it is not of the recipe with that digest."""
    run = folders.run(member)
    if origin_of(run / "weights.safetensors").get("recipe_sha256") != recipe_sha256:
        raise StudyError(f"{member}: not trained by the recipe that the ensemble has it by; run `make zoo` again")
    return sha256(run / MODEL)


def _make(folders: Folders, run: Path, recipe: EnsembleRecipe, origin: dict[str, str]) -> None:
    data = store.load(folders.store(folders.read()))
    parts = split.read(folders.split, data.index.images)
    tables = {member: predictions.read(folders.run(member) / "predictions.csv") for member in recipe.members}
    valid = {member: table.part("valid") for member, table in tables.items()}
    first = next(iter(valid.values()))
    if any(table.images != first.images for table in valid.values()):
        raise StudyError(f"{recipe.entry}: its members were validated on different images; run `make zoo` again")
    factors = coefficients(np.stack([table.probabilities for table in valid.values()]), first.labels)
    if not factors.any():
        raise StudyError(f"{recipe.entry}: on validation none of its members is better than equal probabilities")
    models = {member: (folders.run(member) / MODEL).read_bytes() for member in recipe.members}
    content = ensemble_graph.combine(list(models.values()), factors.tolist())
    rows = np.flatnonzero((parts == 1) | (parts == 2))
    some = data.images[rows[:: max(1, len(rows) // CHECKED)]]
    ensemble_graph.check(content, list(models.values()), factors.tolist(), some, len(CLASSES))
    probabilities = _predict(recipe, content, data, rows)

    def predictions_of(part: str) -> Predictions:
        chosen = np.flatnonzero(parts[rows] == split.PARTS.index(part))
        index = data.index.take(rows[chosen])
        return Predictions(index.labels, probabilities[chosen], index.lesions)

    def uncalibrated(part: Predictions) -> scores.Reliability:
        return scores.reliability(part.labels, without_temperature(part.probabilities.astype(np.float64), temperature))

    temperature = float(1 / factors.sum())
    valid_part, test_part = predictions_of("valid"), predictions_of("test")
    calibration = Calibration(
        temperature=temperature,
        uncalibrated={"valid": uncalibrated(valid_part), "test": uncalibrated(test_part)},
        prior_corrected=None,
    )
    report = {
        "recipe_sha256": recipe.sha256,
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "members": dict(zip(recipe.members, (factors / factors.sum()).round(4).tolist(), strict=True)),
        **evaluate(valid_part, test_part),
        "calibration": calibration.model_dump(exclude_none=True),
    }
    predictions.write(run / "predictions.csv", data.index.take(rows), parts[rows], probabilities)
    atomic_write(run / MODEL, content)
    atomic_write(run / "scores.json", json.dumps(report, indent=1) + "\n")
    tensors = {"coefficients": factors.astype(np.float32)}
    atomic_write(run / "weights.safetensors", save(tensors, {"origin": json.dumps(origin)}))


def _predict(recipe: EnsembleRecipe, model: bytes, data: store.Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probabilities [n, 7] of the images in `rows` [n] of the store."""
    predictor = Predictor(model, recipe.pixels, len(CLASSES))
    bar, blocks = ProgressBar(recipe.entry, "image", len(rows)), []
    try:
        for begin in range(0, len(rows), BLOCK):
            blocks.append(predictor.probabilities(data.images[rows[begin : begin + BLOCK]]))
            bar.update(len(blocks[-1]))
    finally:
        bar.close()
    return np.concatenate(blocks)
