"""What a frozen backbone sees in images: the space in which quality is measured."""

from pathlib import Path

import torch
from torch.nn import functional as F

from lesions.images import normalize
from zoo.models import network

BATCH = 64


class Features(torch.nn.Module):
    """Pooled features of the study's source backbone, never of a classifier fitted to these training images.

    That would favor copies of them. Images are normalized as those were that the weights
    come from, since
    a frozen network's batch norm knows no others. They may have any size, and are resized bilinearly to `pixels`, the
    classifier's.
    """

    def __init__(self, architecture: str, weights: Path, pixels: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.backbone = network.build(architecture, classes=0)
        network.load(self.backbone, weights, without_classifier=True)
        self.pixels = pixels
        self.mean, self.std = network.pretrained_statistics(self.backbone, weights)
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Uint8 [n, side, side, 3] to float32 [n, features], on the CPU."""
        device = next(self.backbone.parameters()).device
        blocks = []
        for block in torch.split(images, BATCH):
            resized = resize(block.to(device), self.pixels)
            blocks.append(self.backbone(normalize(resized, self.mean, self.std)).float().cpu())
        return torch.cat(blocks)


def resize(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Uint8 [n, side, side, 3] to [n, pixels, pixels, 3], bilinearly, with antialiasing where it becomes smaller."""
    if images.shape[1] == pixels:
        return images
    size = (pixels, pixels)
    scaled = F.interpolate(images.permute(0, 3, 1, 2).float(), size, mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
