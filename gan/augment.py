"""Changes of images: turns and flips of real ones, and DiffAugment's of all that the discriminator sees."""

from collections.abc import Collection

import torch
from torch.nn import functional as F

from zoo.entry import Change

SHIFT = 1 / 8
"""The farthest that DiffAugment moves an image, as a share of its side."""

HOLE = 1 / 2
"""The side of the square that DiffAugment cuts out, as a share of the image's."""


def mirrored(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Each of [n, side, side, 3] flipped left to right, or not."""
    flips = torch.rand(len(images), generator=random) < 0.5
    return torch.where(flips[:, None, None, None], images.flip(2), images)


def turned(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Each of [n, side, side, 3] in one of the eight positions of a square: dermatoscopy knows no up."""
    quarters = torch.randint(4, (len(images),), generator=random).tolist()
    return mirrored(torch.stack([image.rot90(k) for image, k in zip(images, quarters, strict=True)]), random)


def differentiable(images: torch.Tensor, changes: Collection[Change], random: torch.Generator) -> torch.Tensor:
    """DiffAugment (Zhao et al. 2020) of [n, 3, side, side] in -1..1: which of its `changes` are made, always in order.

    Real and fake images alike are changed so, in both networks' steps: the discriminator cannot learn few images by
    heart, and the generator need not imitate the changes, since gradients pass through them. Values may leave -1..1.
    """
    if "colour" in changes:
        images = recolored(images, random)
    if "translation" in changes:
        images = shifted(images, random)
    return cut_out(images, random) if "cutout" in changes else images


def recolored(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Brightness +- 0.5, saturation x 0..2, contrast x 0.5..1.5, each image its own."""
    brightness, saturation, contrast = torch.rand((3, len(images), 1, 1, 1), generator=random).to(images.device)
    images = images + (brightness - 0.5)
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    recolored: torch.Tensor = mean + (images - mean) * (contrast + 0.5)
    return recolored


def shifted(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Each image moved by up to an eighth of its side, with gray (0) where it came from."""
    side = images.shape[-1]
    most = max(1, round(side * SHIFT))
    padded = F.pad(images, (most,) * 4)
    places = torch.randint(2 * most + 1, (len(images), 2), generator=random).tolist()
    moved = [one[:, y : y + side, x : x + side] for one, (y, x) in zip(padded, places, strict=True)]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last)


def cut_out(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """A square of half the side in each image made gray (0); part of it may lie outside."""
    side = images.shape[-1]
    hole = round(side * HOLE)
    begin = torch.randint(side + 1, (2, len(images), 1), generator=random) - hole // 2
    axis = torch.arange(side)
    rows, columns = ((axis >= start) & (axis < start + hole) for start in begin)
    outside = ~(rows[:, :, None] & columns[:, None, :])
    kept: torch.Tensor = outside[:, None].to(images)
    return images * kept
