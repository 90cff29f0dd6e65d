"""Many images as one picture."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gan.drawing import draw
from gan.networks import Generator
from lesions import files
from lesions.labels import CLASSES

COLUMNS = 10


def canvas(generator: Generator, seed: int, columns: int = COLUMNS) -> NDArray[np.uint8]:
    """A row for each class, each column one latent vector of `seed`: uint8 [7 x pixels, columns x pixels, 3]."""
    rows = [torch.cat(list(draw(generator, torch.full((columns,), k), seed))) for k in range(len(CLASSES))]
    return grid(torch.stack(rows))


def grid(images: torch.Tensor) -> NDArray[np.uint8]:
    """Uint8 [rows, columns, height, width, 3] side by side: [rows x height, columns x width, 3]."""
    rows, columns, height, width, _ = images.shape
    return images.permute(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3).numpy()


def write(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    files.atomic_write(file, content.getvalue())
