"""Augmentation: flips and turns of real images, and DiffAugment of all images that the discriminator sees."""

from collections.abc import Collection

import torch
from torch.nn import functional as F

from zoo.kinds.generator import DiffAugmentChange

SHIFT = 1 / 8  # the largest translation of DiffAugment, as a share of the image's side
HOLE = 1 / 2  # the side of DiffAugment's cutout, as a share of the image's side


def mirror(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Flip each of [n, side, side, 3] left to right with probability 1/2."""
    flips = torch.rand(len(images), generator=random) < 0.5
    return torch.where(flips[:, None, None, None], images.flip(2), images)


def turn(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Put each of [n, side, side, 3] in one of a square's eight positions: a dermatoscopic image has no upper side."""
    quarters = torch.randint(4, (len(images),), generator=random).tolist()
    return mirror(torch.stack([image.rot90(k) for image, k in zip(images, quarters, strict=True)]), random)


def diffaugment(images: torch.Tensor, changes: Collection[DiffAugmentChange], random: torch.Generator) -> torch.Tensor:
    """Apply DiffAugment (Zhao et al. 2020) to [n, 3, side, side] in -1..1: those of its three changes in `changes`.

    Real and fake images are changed alike, in the steps of both networks: so the discriminator cannot memorize a small
    data set, and the generator need not imitate the changes, since gradients pass through them. Values may leave -1..1.
    """
    if "colour" in changes:
        images = change_colors(images, random)
    if "translation" in changes:
        images = translate(images, random)
    return cut_out(images, random) if "cutout" in changes else images


def change_colors(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Change each image's brightness by -0.5..0.5, its saturation by x 0..2, its contrast by x 0.5..1.5."""
    brightness, saturation, contrast = torch.rand((3, len(images), 1, 1, 1), generator=random).to(images.device)
    images = images + (brightness - 0.5)
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    output: torch.Tensor = mean + (images - mean) * (contrast + 0.5)
    return output


def translate(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Move each image by up to an eighth of its side in both directions; the uncovered border is gray (0)."""
    side = images.shape[-1]
    distance = max(1, round(side * SHIFT))
    padded = F.pad(images, (distance,) * 4)
    corners = torch.randint(2 * distance + 1, (len(images), 2), generator=random).tolist()
    translated = [image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(translated).contiguous(memory_format=torch.channels_last)


def cut_out(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Make a square of half the side in each image gray (0); part of the square may lie outside of the image."""
    side = images.shape[-1]
    hole = round(side * HOLE)
    begin = torch.randint(side + 1, (2, len(images), 1), generator=random) - hole // 2
    axis = torch.arange(side)
    rows, columns = ((axis >= start) & (axis < start + hole) for start in begin)
    outside = ~(rows[:, :, None] & columns[:, None, :])
    mask: torch.Tensor = outside[:, None].to(images)
    return images * mask
