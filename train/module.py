"""The one LightningModule: a network, a loss, an optimizer with its schedule, and a moving average."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch.optim.swa_utils import AveragedModel
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from train.augment import augment
from train.data import Batch
from train.loss import ClassificationLoss
from train.sampling import AUGMENT, DROPOUT, seed_of
from zoo.kinds.classifier import ClassifierRecipe
from zoo.models.averaging import moving_average
from zoo.models.network import normalize

WARM_UP = 0.2
"""The share of one cycle's steps in which the learning rate rises."""


class ClassifierModule(pl.LightningModule):
    """Trains `network` to name one of its `classes` (thesis section 3).

    Args:
        network: float32 [n, 3, height, width] to logits [n, classes].
        recipe: optimizer, schedule, augmentation, moving average; its seed starts whatever is random in a step.
        classes: how many there are.
        mean: of each channel, on the scale 0 to 1, subtracted from the images.
        std: by which each channel is divided then.
        loss: of logits [n, classes] and labels [n].

    """

    def __init__(
        self,
        network: torch.nn.Module,
        recipe: ClassifierRecipe,
        classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        loss: ClassificationLoss | None = None,
    ) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        self.mean, self.std = tuple(mean), tuple(std)
        self.loss = loss or ClassificationLoss()
        self.averaged: AveragedModel | None = None
        if recipe.ema is not None:
            self.averaged = AveragedModel(network, multi_avg_fn=moving_average(recipe.ema))
        self.scores = MetricCollection(
            {
                "macro_f1": MulticlassF1Score(classes, average="macro"),
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "balanced_accuracy": MulticlassAccuracy(classes, average="macro"),
            },
            prefix="valid_",
        )

    @property
    def kept(self) -> torch.nn.Module:
        """The network that is validated and kept: the moving average, or the one that trains."""
        if self.averaged is None:
            return self.network
        average: torch.nn.Module = self.averaged.module
        return average

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [n, classes], of uint8 images [n, height, width, 3], by the network that trains."""
        logits: torch.Tensor = self.network(normalize(images, self.mean, self.std)).float()
        return logits

    def training_step(self, batch: Batch, number: int) -> torch.Tensor:
        """The loss of one batch."""
        images, labels = batch
        # Each step, since Lightning draws a number at another time in an epoch that a run goes on from.
        torch.manual_seed(seed_of(self.recipe.seed, self.current_epoch, DROPOUT, number))
        if self.recipe.augment != "none":
            seed = seed_of(self.recipe.seed, self.current_epoch, AUGMENT, number)
            images = augment(images, self.recipe.augment, torch.Generator().manual_seed(seed))
        loss: torch.Tensor = self.loss(self(images), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the step's weights into the average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count one batch of validation images; the loss is weighted as in training."""
        images, labels = batch
        logits = self.kept(normalize(images, self.mean, self.std)).float()
        self.log("valid_loss", self.loss(logits, labels), batch_size=len(labels))
        self.scores.update(logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all validation images."""
        self.log_dict(self.scores.compute())
        self.scores.reset()

    def configure_optimizers(self) -> Any:
        """The optimizer of the tensors that train, and its schedule."""
        recipe = self.recipe
        if recipe.optimizer == "adam":
            trainable = [tensor for tensor in self.network.parameters() if tensor.requires_grad]
            optimizer: torch.optim.Optimizer = torch.optim.Adam(trainable, lr=recipe.learning_rate, fused=True)
        else:
            # timm's groups: norms and biases have no weight decay, frozen tensors are left out
            optimizer = create_optimizer_v2(
                self.network, "adamw", recipe.learning_rate, recipe.weight_decay, fused=True
            )
        if recipe.schedule == "constant":
            return optimizer
        steps = sum(-(-images // recipe.batch) for images in recipe.draws)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def freeze(network: torch.nn.Module, trainable_tensors: int) -> None:
    """Let only the last `trainable_tensors` parameter tensors train.

    As in the thesis (section 4.9), batch norm stays in training mode: its running statistics still move.
    """
    parameters = list(network.parameters())
    for tensor in parameters[: max(0, len(parameters) - trainable_tensors)]:
        tensor.requires_grad_(False)
