"""Snapshots: a generator in training, in the form that is served."""

import torch
from torch import nn

from gan.data import draw_labels
from gan.networks import Generator, fold, fuse
from lesions.labels import CLASSES
from zoo.models.sampler import latent

BATCHES, IMAGES_PER_CLASS = 16, 4
"""Batches, and images of each class in a batch, from which the running statistics are computed."""


def snapshot(generator: Generator, width: int, seed: int, shares: torch.Tensor | None = None) -> Generator:
    """A copy of `generator` to serve, on the same device: weights with spectral norm applied, new running statistics.

    The statistics of training do not fit averaged weights, and are noisy: they come from the last few batches. So they
    are computed anew, from images whose classes are drawn as in training, by their `shares` (`gan.data.class_shares`);
    all classes alike where there are none ("standing statistics" of Brock et al. 2019).
    """
    device = next(generator.parameters()).device
    copy = restored(fold(generator), generator.pixels, width).to(device)
    for module in copy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches
    copy.train()
    labels = torch.arange(len(CLASSES), device=device).repeat(IMAGES_PER_CLASS)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for batch in range(BATCHES):
            if shares is not None:
                labels = draw_labels(shares, len(labels), random).to(device)
            copy(torch.from_numpy(latent(seed, batch * len(labels), len(labels), copy.z)).to(device), labels)
    return copy.eval()


def tensors(copy: Generator) -> dict[str, torch.Tensor]:
    """Copies of a snapshot's tensors, on the CPU."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in copy.state_dict().items()}


def restored(weights: dict[str, torch.Tensor], pixels: int, width: int) -> Generator:
    """The snapshot with these `weights` (of `tensors`), on the CPU. Raises `RuntimeError` where they do not fit."""
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and replaced
        copy = Generator(pixels, width, spectral_norm=False)
    copy.load_state_dict(weights)
    return fuse(copy)
