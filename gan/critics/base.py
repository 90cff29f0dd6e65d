"""What a critic is to its trainer."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn


class Critic(nn.Module, ABC):
    """A network that scores images, and tells their classes.

    What it computes of one image does not depend on the other images of a batch.
    """

    @abstractmethod
    def features(self, images: torch.Tensor) -> Any:
        """What `scores` and `class_logits` read, so that one pass serves both; images [n, 3, side, side] in -1..1."""

    @abstractmethod
    def scores(self, features: Any, labels: torch.Tensor) -> torch.Tensor:
        """Scores float32 [n] or [n, k], high for real images of the classes `labels`, int64 [n], low for fake ones."""

    @abstractmethod
    def class_logits(self, features: Any) -> torch.Tensor:
        """Logits float32 [n, classes] or [n, k, classes]: which class an image shows."""

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, side, side] in -1..1 and their classes int64 [n] to scores."""
        return self.scores(self.features(images), labels)
