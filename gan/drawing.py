"""Draw images with a generator: an image depends on (seed, class, index) alone."""

from collections.abc import Iterator

import torch
from torch import nn

from gan.networks import Generator
from zoo.models.sampler import CHUNK, chunk_of, chunk_starts, latent


def draw(generator: Generator, labels: torch.Tensor, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
    """Draw images of classes `labels`, int64 [n], in chunks: uint8 [CHUNK or less, pixels, pixels, 3].

    Image k of the call has the latent vector `first + k` of `seed`: it is the same, however many images are drawn in
    one call. Leaves `generator` in eval mode, where an image does not depend on the others of its batch.
    """
    generator.eval()
    device = next(generator.buffers()).device
    indices = range(first, first + len(labels))
    for start in chunk_starts(indices):
        places, inside = chunk_of(indices, start)
        latents = torch.from_numpy(latent(seed, start, CHUNK, generator.z))
        with torch.inference_mode():
            images = generator(latents.to(device), labels[torch.from_numpy(places)].to(device))
        yield to_bytes(images)[torch.from_numpy(inside)]


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Convert [n, 3, pixels, pixels] in -1..1 to uint8 [n, pixels, pixels, 3], on the CPU."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def from_bytes(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 [n, pixels, pixels, 3] to float32 [n, 3, pixels, pixels] in -1..1, channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1


class GeneratorGraph(nn.Module):
    """What a generator's `model.onnx` computes: latent vectors and classes to images."""

    outputs = ("images",)

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator.eval()

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """float32 [n, z] and int64 [n] to uint8 [n, pixels, pixels, 3]."""
        return to_bytes(self.generator(latents, labels))
