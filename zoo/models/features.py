"""How far a picture's features are from those of validation: one number, for drift. Copied into archives."""

import base64
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SHRINKAGE = 0.1
"""How much of each feature's variance is the mean of all: a feature that hardly varies would decide by itself."""
Features = NDArray[np.floating]
"""[n, d]: what the classification layer sees of n images."""


class FeatureReference:
    """Mean and spread of validation's features: what an `entry.json` has as `features`."""

    def __init__(self, mean: Features, variance: Features, distances: Features) -> None:
        """`mean` and `variance` [d], the latter shrunk; `distances` [n] of validation's own images, sorted."""
        self.mean, self.variance, self.distances = mean, variance, distances

    @classmethod
    def fit(cls, features: Features) -> Self:
        """That of the `features` of validation, at least 3 images. Their own distances are each from all others'."""
        exact, n = features.astype(np.float64), len(features)
        mean = exact.mean(0)
        squares = (exact - mean) ** 2
        total = squares.sum(0)
        # Without the image itself, in closed form: it is farther from the others' mean, and they vary less.
        others = np.maximum(total - squares * n / (n - 1), 0) / (n - 1)
        distances = np.sqrt((squares * (n / (n - 1)) ** 2 / _shrunk(others)).mean(1))
        return cls(mean, _shrunk(total / n), np.sort(distances))

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self | None:
        """That of an archive; none where it was packed without one."""
        content = entry.get("features")
        return cls(*(_decode(content[name]) for name in ("mean", "variance", "distances"))) if content else None

    def to_entry(self) -> dict[str, str]:
        """For `entry.json`: float32, little-endian, in base64."""
        return {name: _encode(getattr(self, name)) for name in ("mean", "variance", "distances")}

    def distance(self, features: Features) -> NDArray[np.float64]:
        """The distance [n] of `features` [n, d]: about 1 for images like those of validation.

        The root of the mean square of all features' differences from their mean, each over its standard deviation.
        """
        return np.asarray(np.sqrt(((features.astype(np.float64) - self.mean) ** 2 / self.variance).mean(1)))


def _shrunk(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances [..., d], moved toward their mean, and never 0."""
    mean = variance.mean(-1, keepdims=True)
    return np.asarray((1 - SHRINKAGE) * variance + SHRINKAGE * mean + np.finfo(np.float32).tiny)


def _encode(values: Features) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _decode(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)
