"""The reference of features that a classifier's archive carries: of the study's validation images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lesions import split, store
from lesions.split import PARTS
from zoo.kinds import KINDS
from zoo.kinds.classifier import CLASSIFIER
from zoo.models.features import FeatureReference
from zoo.models.predictor import Predictor
from zoo.study import Folders

LEAST = 10
"""Validation images; a study with fewer has no reference."""


def with_reference(entry: Mapping[str, Any], folders: Folders, model: Path) -> dict[str, Any]:
    """An `entry.json` with `features`, if it is that of a classifier or an ensemble with this `model`."""
    if KINDS[entry["kind"]].model != CLASSIFIER.model:
        return dict(entry)
    data = store.load(folders.store(folders.read()))
    rows = np.flatnonzero(split.read(folders.split, data.index.images) == PARTS.index("valid"))
    if len(rows) < LEAST:
        return dict(entry)
    features = Predictor.from_entry(entry, model).features(data.images[rows])
    return {**entry, "features": FeatureReference.fit(features).to_entry()}
