"""The ISIC challenge's scores, against its own code's figures and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lesions.labels import CLASSES
from zoo.metrics import challenge
from zoo.metrics.scores import Predictions


def made_up() -> Predictions:
    """300 predictions, six decimals, the same ones each time."""
    random = np.random.default_rng(2018)
    labels = random.choice(7, 300, p=[0.1, 0.1, 0.15, 0.05, 0.15, 0.4, 0.05])
    values = np.exp(1.5 * np.eye(7)[labels] + random.normal(size=(300, 7)))
    return Predictions(labels, (values / values.sum(1, keepdims=True)).round(6), [str(k // 2) for k in range(300)])


PREDICTIONS = made_up()
