"""A generator in training, as it would be served now."""

import torch
from torch import nn

from gan.drawing import latent
from gan.networks import Generator, fold, fuse
from lesions.labels import CLASSES

BATCHES, A_CLASS = 16, 4
"""So many batches of so many images a class settle the running statistics."""


def snapshot(generator: Generator, width: int, seed: int) -> Generator:
    """A copy of `generator` to serve: spectral norm folded in, running statistics settled, on the same device.

    Averaged weights never met the statistics that they came with, and those of the last few batches are noisy: so they
    are taken anew, from images of all classes alike (Brock et al. 2019's "standing statistics").
    """
    device = next(generator.parameters()).device
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and thrown away
        served = Generator(generator.pixels, width, generator.classes, generator.z, spectral_norm=False)
    served.load_state_dict(fold(generator))
    fuse(served.to(device))
    for module in served.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches
    served.train()
    labels = torch.arange(len(CLASSES), device=device).repeat(A_CLASS)
    with torch.no_grad():
        for batch in range(BATCHES):
            served(latent(seed, batch * len(labels), len(labels), served.z).to(device), labels)
    return served.eval()


def tensors(served: Generator) -> dict[str, torch.Tensor]:
    """What to keep of a snapshot, on the CPU and apart from it."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in served.state_dict().items()}


def restored(kept: dict[str, torch.Tensor], pixels: int, width: int) -> Generator:
    """The snapshot that `kept` (as `tensors` gave it) came from, on the CPU. Raises `RuntimeError` for another's."""
    with torch.random.fork_rng(devices=[]):
        served = Generator(pixels, width, spectral_norm=False)
    served.load_state_dict(kept)
    return fuse(served)
