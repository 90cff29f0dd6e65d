"""Show where in a picture a network sees a class. Copied into archives."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST = 512
"""The longest side of an overlay, in pixels; a smaller picture keeps its own size."""
OPACITY = 0.6
"""Of the colors, where the network looks most; elsewhere in proportion."""
COLORS = "turbo"
"""matplotlib's color map: red is most, green is half; blue hardly shows."""


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """`heat` [height, width], 0 to 1, as colors on a square `picture` [side, side, 3]: 8-bit RGB, of its size."""
    from matplotlib import colormaps  # here: it takes a second and some memory, and few ask for explanations

    smooth = np.asarray(Image.fromarray(heat).resize(picture.shape[1::-1], Image.Resampling.BILINEAR))
    colors = colormaps[COLORS](smooth)[..., :3] * 255
    strength = OPACITY * smooth[..., None]
    blended = picture * (1 - strength) + colors * strength
    return Image.fromarray(blended.round().astype(np.uint8))
