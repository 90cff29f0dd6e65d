"""A trained generator as a function of class, seed and number. Copied into archives."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zoo.models.session import ModelError, Session

CHUNK = 4
"""The size of every batch (missing images are padded, then dropped): another size would round differently."""
LATENT = 128
"""The length of a latent vector (z in papers)."""
_quantile = NormalDist().inv_cdf


def latent(seed: int, first: int, count: int, length: int = LATENT) -> NDArray[np.float32]:
    """The latent vectors of the images `first` to `first + count - 1` of `seed`: gaussian, float32 [count, length].

    They are computed from a hash, not by a library's generator: its numbers depend on the count, and torch's keeps only
    32 bits of a seed. Here any integer is a seed of its own.
    """
    content = b"".join(
        hashlib.shake_128(f"{seed} {index}".encode()).digest(4 * length) for index in range(first, first + count)
    )
    uniform = (np.frombuffer(content, dtype=np.int32).astype(np.float64) + (2**31 + 0.5)) / 2**32
    return np.array([_quantile(value) for value in uniform.tolist()], dtype=np.float32).reshape(count, length)


def chunk_of(indices: range, start: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For the chunk from index `start` on: the place in `indices` of each image, and whether it is one of them.

    Chunks begin at multiples of `CHUNK`, so that an image has the same place in its chunk in every call.
    """
    own = np.arange(start, start + CHUNK)
    inside = (own >= indices.start) & (own < indices.stop)
    return (own - indices.start).clip(0, len(indices) - 1), inside


def chunk_starts(indices: range) -> range:
    """The indices at which the chunks that hold `indices` begin."""
    return range(indices.start // CHUNK * CHUNK, indices.stop, CHUNK)


class Sampler:
    """A generator's `model.onnx`, run by onnxruntime on one thread. Thread-safe."""

    def __init__(self, model: bytes | Path, pixels: int) -> None:
        """Open `model`, a file or its content. Raises `ModelError` where it is damaged, or of another network."""
        self.pixels = pixels
        self._session = Session(model, {"latents": ("float32", (None, LATENT)), "labels": ("int64", (None,))})
        if self._session.outputs != {"images": (None, pixels, pixels, 3)}:
            raise ModelError(f"the model of another network: its outputs are {self._session.outputs}")

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any], model: bytes | Path) -> Self:
        """The sampler of an archive's `entry.json` and its `model.onnx`. Raises `ModelError`."""
        try:
            return cls(model, entry["pixels"])
        except KeyError as error:
            raise ModelError(f"entry.json has no {error}") from None

    def draw(self, label: int, count: int, seed: int, first: int = 0) -> NDArray[np.uint8]:
        """Images `first` to `first + count - 1` of `seed`, of class number `label`: uint8 [count, pixels, pixels, 3].

        An image is the same, however many are drawn in one call.
        """
        indices, labels, drawn = range(first, first + count), np.full(CHUNK, label, dtype=np.int64), []
        for start in chunk_starts(indices):
            inputs: dict[str, NDArray[Any]] = {"latents": latent(seed, start, CHUNK), "labels": labels}
            drawn.append(self._session.run(["images"], inputs)[0][chunk_of(indices, start)[1]])
        return np.concatenate(drawn)
