"""GAN-train: what synthetic images teach (Shmelkov et al. 2018, "How good is my GAN?").

A classifier learns the classes from synthetic images alone, and is asked about real ones. Here it is a logistic
regression on features of a frozen backbone, so that it takes seconds: it can be asked while a generator trains.
"""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

IMAGES_PER_CLASS = 200
REGULARIZATION = 1e-3
"""scikit-learn's C, for features whose squares are 1 on average."""


def gan_train(
    features: torch.Tensor, labels: torch.Tensor, real_features: torch.Tensor, real_labels: torch.Tensor
) -> float:
    """The balanced accuracy on real images of a linear classifier of `features`.

    Features float32 [n, d] and classes int64 [n] of the images to learn from, then those of the real images.
    """
    classifier = LogisticRegression(C=REGULARIZATION, class_weight="balanced", max_iter=300)
    classifier.fit(features.numpy(), labels.numpy())
    predicted = classifier.predict(real_features.numpy())
    return round(float(balanced_accuracy_score(real_labels.numpy(), predicted)), 6)
