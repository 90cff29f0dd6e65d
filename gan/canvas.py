"""Pictures made of many images, and PNG files."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.utils import make_grid

from gan.drawing import draw
from gan.networks import Generator
from lesions import files
from lesions.labels import CLASSES

COLUMNS = 10  # images of each class on a canvas


def draw_canvas(generator: Generator, seed: int) -> NDArray[np.uint8]:
    """Draw a row for each class, a column for each latent vector: uint8 [7 x pixels, COLUMNS x pixels, 3]."""
    labels = [torch.full((COLUMNS,), label) for label in range(len(CLASSES))]
    return grid(torch.cat([images for row in labels for images in draw(generator, row, seed)]), COLUMNS)


def grid(images: torch.Tensor, columns: int) -> NDArray[np.uint8]:
    """Uint8 [n, height, width, 3] side by side: [n / columns x height, columns x width, 3]."""
    picture: NDArray[np.uint8] = make_grid(images.permute(0, 3, 1, 2), columns, padding=0).permute(1, 2, 0).numpy()
    return picture


def write_png(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write uint8 [height, width, 3] as a PNG, atomically."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    files.atomic_write(file, content.getvalue())
