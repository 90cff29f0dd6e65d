"""Images out of a generator: each depends on (seed, class, index) alone. Copied into archives."""

import hashlib
from collections.abc import Iterator

import torch

from gan.networks import Generator

CHUNK = 4
"""Images drawn at once, always: another number would round differently. Missing ones are padded and thrown away."""


def latent(seed: int, first: int, count: int, z: int) -> torch.Tensor:
    """The latent vectors of the images `first` to `first + count - 1` of `seed`: gaussian, float32 [count, z].

    Out of a hash and not out of torch's generator, whose numbers differ with the count asked for and which keeps only
    32 bits of a seed: among 33,000 images two would be likely to be the same. Any integer is a seed.
    """
    content = b"".join(
        hashlib.shake_128(f"{seed} {index}".encode()).digest(4 * z) for index in range(first, first + count)
    )
    bits = torch.frombuffer(bytearray(content), dtype=torch.int32).to(torch.float64).view(count, z)
    gaussian: torch.Tensor = torch.special.ndtri((bits + (2**31 + 0.5)) / 2**32)
    return gaussian.float()


def draw(generator: Generator, labels: torch.Tensor, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
    """The images of classes `labels`, int64 [n], chunk by chunk: uint8 [CHUNK or less, pixels, pixels, 3].

    Image k of the call has the latent vector `first + k` of `seed`, so that asking for more or fewer, at once or one by
    one, gives the same images. Leaves `generator` in eval mode: the running statistics know no neighbors.
    """
    generator.eval()
    device = next(generator.buffers()).device
    begin, end = first, first + len(labels)
    # Chunks begin at multiples of CHUNK, so that an image has the same place in its chunk in every call.
    for start in range(begin // CHUNK * CHUNK, end, CHUNK):
        asked = torch.arange(start, start + CHUNK)
        inside = (asked >= begin) & (asked < end)
        wanted = labels[(asked - begin).clamp(0, len(labels) - 1)]
        with torch.inference_mode():
            images = generator(latent(seed, start, CHUNK, generator.z).to(device), wanted.to(device))
        yield to_bytes(images)[inside]


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Images [n, 3, pixels, pixels] in -1..1 to uint8 [n, pixels, pixels, 3], on the CPU."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def from_bytes(images: torch.Tensor) -> torch.Tensor:
    """Uint8 [n, pixels, pixels, 3] to float32 [n, 3, pixels, pixels] in -1..1, channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1
