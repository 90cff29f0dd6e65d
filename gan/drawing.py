"""Draw images with a generator: an image depends on (seed, class, index) alone. Copied into archives."""

import hashlib
from collections.abc import Iterator

import torch

from gan.networks import Generator

CHUNK = 4
"""The size of every batch (missing images are padded, then dropped): another size would round differently."""


def latent(seed: int, first: int, count: int, z: int) -> torch.Tensor:
    """The latent vectors of the images `first` to `first + count - 1` of `seed`: gaussian, float32 [count, z].

    They are computed from a hash, not by torch's generator: its numbers depend on the count, and it keeps only 32 bits
    of a seed, so that two of 33,000 images would probably be the same. Any integer is a seed.
    """
    content = b"".join(
        hashlib.shake_128(f"{seed} {index}".encode()).digest(4 * z) for index in range(first, first + count)
    )
    bits = torch.frombuffer(bytearray(content), dtype=torch.int32).to(torch.float64).view(count, z)
    gaussian: torch.Tensor = torch.special.ndtri((bits + (2**31 + 0.5)) / 2**32)
    return gaussian.float()


def draw(generator: Generator, labels: torch.Tensor, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
    """Draw images of classes `labels`, int64 [n], in chunks: uint8 [CHUNK or less, pixels, pixels, 3].

    Image k of the call has the latent vector `first + k` of `seed`: it is the same, however many images are drawn in
    one call. Leaves `generator` in eval mode, where an image does not depend on the others of its batch.
    """
    generator.eval()
    device = next(generator.buffers()).device
    begin, end = first, first + len(labels)
    # Chunks begin at multiples of CHUNK, so that an image has the same place in its chunk in every call.
    for start in range(begin // CHUNK * CHUNK, end, CHUNK):
        indices = torch.arange(start, start + CHUNK)
        inside = (indices >= begin) & (indices < end)
        chunk_labels = labels[(indices - begin).clamp(0, len(labels) - 1)]
        with torch.inference_mode():
            images = generator(latent(seed, start, CHUNK, generator.z).to(device), chunk_labels.to(device))
        yield to_bytes(images)[inside]


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Convert [n, 3, pixels, pixels] in -1..1 to uint8 [n, pixels, pixels, 3], on the CPU."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def from_bytes(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 [n, pixels, pixels, 3] to float32 [n, 3, pixels, pixels] in -1..1, channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1
