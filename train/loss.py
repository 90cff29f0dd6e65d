"""The loss of a classifier, and its class weights."""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from lesions.errors import UserError
from lesions.labels import CLASSES
from zoo.kinds.classifier import ClassifierRecipe
from zoo.metrics.calibration import class_shares


class NotDrawnError(UserError):
    """A class that is not drawn, so that it can have no weight."""


class ClassificationLoss(torch.nn.Module):
    """Cross entropy of logits [n, classes] and labels [n].

    Args:
        class_weights: weights of the classes, float32 [classes], or none.
        adjustment: added to the logits, float32 [classes], or none (Menon et al., ICLR 2021, equation 10).

    """

    class_weights: torch.Tensor | None
    adjustment: torch.Tensor | None

    def __init__(self, class_weights: torch.Tensor | None = None, adjustment: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("adjustment", adjustment, persistent=False)

    @classmethod
    def from_recipe(cls, recipe: ClassifierRecipe, labels: NDArray[np.int64]) -> Self:
        """The loss that a recipe asks for; `labels` are those that the first epoch draws."""
        return cls(
            class_weights(labels) if recipe.loss == "weighted_cross_entropy" else None,
            recipe.logit_adjustment * log_shares(labels) if recipe.logit_adjustment else None,
        )

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss, a scalar."""
        if self.adjustment is not None:
            logits = logits + self.adjustment
        return cross_entropy(logits, labels, self.class_weights)


def log_shares(labels: NDArray[np.int64]) -> torch.Tensor:
    """Float32 [7]: the logarithm of each class's share of `labels` as drawn. Raises `NotDrawnError`."""
    _check_all_drawn(labels)
    return torch.tensor(np.log(class_shares(labels)), dtype=torch.float32)


def class_weights(labels: NDArray[np.int64]) -> torch.Tensor:
    """Float32 [7]: scikit-learn's "balanced" weights of `labels` as drawn, divided by their mean.

    Of the labels as an epoch draws them (thesis sections 4.1 and 4.7): with balanced sampling they are nearly 1.
    Raises `NotDrawnError` where a class is not drawn at all.
    """
    _check_all_drawn(labels)
    weights = compute_class_weight("balanced", classes=np.arange(len(CLASSES)), y=labels)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def _check_all_drawn(labels: NDArray[np.int64]) -> None:
    if missing := sorted(set(range(len(CLASSES))) - set(labels.tolist())):
        names = ", ".join(CLASSES[k] for k in missing)
        raise NotDrawnError(f"of {names} no image is drawn, so there is no weight for it: more draws, or another loss")
