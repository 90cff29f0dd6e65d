"""Snapshots: a generator in training, in the form that is served."""

import torch
from torch import nn

from gan.networks import Generator, fold, fuse
from lesions.labels import CLASSES
from zoo.models.sampler import latent

BATCHES, IMAGES_PER_CLASS = 16, 4
"""Batches, and images of each class in a batch, from which the running statistics are computed."""


def snapshot(generator: Generator, width: int, seed: int) -> Generator:
    """A copy of `generator` to serve, on the same device: weights with spectral norm applied, new running statistics.

    The statistics of training do not fit averaged weights, and are noisy: they come from the last few batches. So they
    are computed anew, from images of all classes alike ("standing statistics" of Brock et al. 2019).
    """
    device = next(generator.parameters()).device
    copy = restored(fold(generator), generator.pixels, width).to(device)
    for module in copy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches
    copy.train()
    labels = torch.arange(len(CLASSES), device=device).repeat(IMAGES_PER_CLASS)
    with torch.no_grad():
        for batch in range(BATCHES):
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
