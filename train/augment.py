"""Augmentation: training images, changed anew in each step, each image by random numbers of its own.

torchvision's transforms change all images of a batch alike; here torch's `grid_sample`, which they use, has one matrix
for each image, and colors are changed by factors [n, 1, 1, 1].
"""

from typing import Literal

import torch
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2.functional import rgb_to_grayscale

SMALLEST, LARGEST = 1 / 1.35, 1.15
"""The range of scales, drawn evenly in their logarithm."""
SHIFT = 0.1
"""The largest translation in each direction, as a share of the side."""
BRIGHTNESS, CONTRAST, SATURATION, CHANNEL = 0.15, 0.15, 0.20, 0.05
"""The largest relative change of each; each channel has its own."""


def augment(
    images: torch.Tensor, how: Literal["none", "flips", "standard"], generator: torch.Generator
) -> torch.Tensor:
    """Change uint8 [n, side, side, 3] in the way `how`; the result is like it. `generator` is one of the CPU.

    `flips`: left to right, and upside down, each with probability 1/2. `standard`: flipped or not and turned by any
    angle (and so in all eight positions of a square), scaled, moved, with reflected edges; then brightness, contrast,
    saturation and the channels' balance.
    """
    if how == "none":
        return images
    if how == "flips":
        for axis in (1, 2):
            flipped = _uniform(len(images), generator, images.device) < 0.5
            images = torch.where(flipped, images.flip(axis), images)
        return images
    scaled = images.permute(0, 3, 1, 2).float() / 255
    moved = grid_sample(
        scaled, affine_grid(matrices(len(images), generator), list(scaled.shape), align_corners=False).to(scaled),
        padding_mode="reflection", align_corners=False,
    )  # fmt: skip
    changed = change_colors(moved, generator).clamp(0, 1) * 255
    return changed.round().to(torch.uint8).permute(0, 2, 3, 1)


def matrices(count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` random affine maps from places in the output to places in the input, [count, 2, 3], in -1..1."""
    flip, angle, scale, *shift = torch.rand((5, count), generator=generator)
    angle = angle * 2 * torch.pi
    zoom = (LARGEST / SMALLEST) ** scale * SMALLEST
    sign = torch.where(flip < 0.5, -1.0, 1.0)
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    x, y = ((2 * part - 1) * 2 * SHIFT for part in shift)
    rows = [torch.stack([sign * cosine, -sign * sine, x], 1), torch.stack([sine, cosine, y], 1)]
    return torch.stack(rows, 1)


def change_colors(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast, saturation and channels of float [n, 3, height, width] in 0..1; values may leave it.

    As torchvision's ColorJitter: contrast is the distance from an image's mean gray, saturation that from its grays.
    """
    brightness, contrast, saturation = (
        1 + part * (2 * _uniform(len(images), generator, images.device) - 1)
        for part in (BRIGHTNESS, CONTRAST, SATURATION)
    )
    images = images * brightness
    mean = rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    gray = rgb_to_grayscale(images)
    images = gray + (images - gray) * saturation
    channels = 1 + CHANNEL * (2 * torch.rand((len(images), 3, 1, 1), generator=generator) - 1)
    return images * channels.to(images.device)


def _uniform(count: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Random numbers in 0..1, [count, 1, 1, 1]."""
    return torch.rand((count, 1, 1, 1), generator=generator).to(device)
