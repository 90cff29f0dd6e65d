"""Images side by side, in the right order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan import canvas
from gan.drawing import draw
from gan.networks import Generator, fuse


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 4), (3, 1), (1, 1)])
def test_images_are_in_reading_order(rows: int, columns: int) -> None:
    images = torch.randint(256, (rows * columns, 5, 6, 3), dtype=torch.uint8)
    picture = canvas.grid(images, columns)
    assert picture.shape == (rows * 5, columns * 6, 3)
    assert picture.dtype == np.uint8
    for index, image in enumerate(images):
        y, x = 5 * (index // columns), 6 * (index % columns)
        assert np.array_equal(picture[y : y + 5, x : x + 6], image.numpy())


def test_a_canvas_has_a_row_of_each_class_and_reads_back(tmp_path: Path) -> None:
    generator = fuse(Generator(32, 2, spectral_norm=False))
    picture = canvas.draw_canvas(generator, seed=3)
    (second,) = draw(generator, torch.tensor([4]), 3, first=1)
    assert np.array_equal(picture[4 * 32 : 5 * 32, 32:64], second[0].numpy())
    canvas.write_png(tmp_path / "new" / "canvas.png", picture)
    with Image.open(tmp_path / "new" / "canvas.png") as opened:
        assert np.array_equal(np.asarray(opened), picture)
