"""The metrics as functions of a confusion matrix, with their gradients, which say how much one client moves them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Gradient = tuple[Values, Values]
"""Of matrices [..., 7, 7] of shares that add up to 1 (rows are the true class, columns the predicted one): the metric
[...], and its derivative by each of the shares [..., 7, 7]."""


def accuracy(matrices: Values) -> Gradient:
    """The share of right answers."""
    return _right(matrices).sum(-1), np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)


def balanced_accuracy(matrices: Values) -> Gradient:
    """The mean of the classes' recall; each class must be there."""
    right, rows = _right(matrices), matrices.sum(-1)
    gradient = _diagonal(1 / rows) - (right / rows**2)[..., :, None]
    return (right / rows).mean(-1), gradient / matrices.shape[-1]


def macro_f1(matrices: Values) -> Gradient:
    """The mean of the classes' F1; each class must be there."""
    right, both = _right(matrices), matrices.sum(-1) + matrices.sum(-2)
    share = 2 * right / both**2
    gradient = _diagonal(2 / both) - share[..., :, None] - share[..., None, :]
    return (2 * right / both).mean(-1), gradient / matrices.shape[-1]


def _right(matrices: Values) -> Values:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _diagonal(values: Values) -> Values:
    """Diagonal matrices [..., n, n] of values [..., n]."""
    return values[..., None] * np.eye(values.shape[-1])


METRICS: dict[str, Callable[[Values], Gradient]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}
BY_CLASS = ("balanced_accuracy", "macro_f1")
"""Those that need answers of every class."""


def in_words(metric: str) -> str:
    """A metric's name as people read it."""
    return metric.replace("_", " ").replace("f1", "F1")
