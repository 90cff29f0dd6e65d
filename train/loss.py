"""Class weights of the loss."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from lesions.labels import CLASSES


def class_weights(drawn: NDArray[np.int64]) -> torch.Tensor:
    """Float32 [7]: scikit-learn's "balanced" weights of the labels as `drawn`, divided by their mean.

    Of the labels as an epoch draws them (thesis sections 4.1 and 4.7): with balanced sampling they are nearly 1.
    Raises `ValueError` where a class is not drawn at all.
    """
    if lacking := sorted(set(range(len(CLASSES))) - set(drawn.tolist())):
        raise ValueError(f"no image of {', '.join(CLASSES[k] for k in lacking)} was drawn, so it has no weight")
    weights = compute_class_weight("balanced", classes=np.arange(len(CLASSES)), y=drawn)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)
