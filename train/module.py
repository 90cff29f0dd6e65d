"""The one LightningModule: a network, a loss and Adam."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from train.data import Batch
from train.loss import ClassificationLoss
from train.sampling import seed_of
from zoo.models.network import normalize


class ClassifierModule(pl.LightningModule):
    """Trains `network` to name one of its `classes` (thesis section 3).

    Args:
        network: float32 [n, 3, height, width] to logits [n, classes].
        classes: how many there are.
        mean: of each channel, on the scale 0 to 1, subtracted from the images.
        std: by which each channel is divided then.
        loss: of logits [n, classes] and labels [n].
        learning_rate: Adam's.
        seed: with the epoch, the start of whatever is random within one (dropout, in networks that have it).

    """

    def __init__(
        self,
        network: torch.nn.Module,
        classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        loss: ClassificationLoss | None = None,
        learning_rate: float = 3e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.learning_rate, self.seed = network, learning_rate, seed
        self.mean, self.std = tuple(mean), tuple(std)
        self.loss = loss or ClassificationLoss()
        self.scores = MetricCollection(
            {
                "macro_f1": MulticlassF1Score(classes, average="macro"),
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "balanced_accuracy": MulticlassAccuracy(classes, average="macro"),
            },
            prefix="valid_",
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [n, classes], of uint8 images [n, height, width, 3]."""
        logits: torch.Tensor = self.network(normalize(images, self.mean, self.std)).float()
        return logits

    def on_train_epoch_start(self) -> None:
        """Seed torch, so that a run which goes on from this epoch draws what an uninterrupted one draws."""
        torch.manual_seed(seed_of(self.seed, self.current_epoch))

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """The loss of one batch."""
        images, labels = batch
        loss: torch.Tensor = self.loss(self(images), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count one batch of validation images; the loss is weighted as in training."""
        images, labels = batch
        logits = self(images)
        self.log("valid_loss", self.loss(logits, labels), batch_size=len(labels))
        self.scores.update(logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all validation images."""
        self.log_dict(self.scores.compute())
        self.scores.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the tensors that train."""
        trainable = [tensor for tensor in self.network.parameters() if tensor.requires_grad]
        return torch.optim.Adam(trainable, lr=self.learning_rate, fused=True)


def freeze(network: torch.nn.Module, trainable_tensors: int) -> None:
    """Let only the last `trainable_tensors` parameter tensors train.

    As in the thesis (section 4.9), batch norm stays in training mode: its running statistics still move.
    """
    parameters = list(network.parameters())
    for tensor in parameters[: max(0, len(parameters) - trainable_tensors)]:
        tensor.requires_grad_(False)
