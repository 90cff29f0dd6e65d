"""Features of a frozen backbone: the space in which the quality of images is measured."""

from pathlib import Path

import torch
from torch.nn import functional as F

from zoo.models import network
from zoo.models.network import normalize
from zoo.models.weights import WeightsError

BATCH = 64


class Features(torch.nn.Module):
    """Pooled features of the study's source backbone, normalized with the statistics of its pretraining.

    Not of a classifier that was trained on the study's images: its features would favor copies of these. Images may
    have any size; they are resized to `pixels`, the size that classifiers see. Raises `WeightsError` where the weights
    do not fit the network, or it takes no images of that size.
    """

    def __init__(self, architecture: str, weights: Path, pixels: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.backbone = network.build(architecture, classes=0)
        network.load(self.backbone, weights, without_classifier=True)
        self.pixels = pixels
        self.mean, self.std = network.pretrained_statistics(self.backbone)
        self.eval().requires_grad_(False)
        try:
            self(torch.zeros(1, pixels, pixels, 3, dtype=torch.uint8))
        except (AssertionError, RuntimeError) as error:
            raise WeightsError(f"{architecture} takes no images of {pixels} pixels a side ({error})") from None

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Uint8 [n, side, side, 3] to float32 [n, features], on the CPU."""
        device = next(self.backbone.parameters()).device
        features = []
        for batch in torch.split(images, BATCH):
            resized = resize(batch.to(device), self.pixels)
            features.append(self.backbone(normalize(resized, self.mean, self.std)).float().cpu())
        return torch.cat(features)


def resize(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Resize uint8 [n, side, side, 3] to [n, pixels, pixels, 3], bilinearly, with antialiasing."""
    if images.shape[1] == pixels:
        return images
    size = (pixels, pixels)
    scaled = F.interpolate(images.permute(0, 3, 1, 2).float(), size, mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
