"""The canvas on which a phantom lesion is painted, with its means: noise, edges, spots, lines.

Colors are sRGB in 0..1 as float32. A patch is square; lengths on it are in units of the lesion's mean radius.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array: TypeAlias = NDArray[np.float32]
Color: TypeAlias = Sequence[float]
WIDTH, HEIGHT = 300, 225  # pixels of a photograph
PATCH = 288  # pixels of a patch's side
REACH = 1.7  # half the side of a patch in lesion radii: room for streaks and soft borders
RADIUS = PATCH / 2 / REACH  # the mean radius of a lesion in patch pixels
X, Y = np.meshgrid(*2 * [np.linspace(-REACH, REACH, PATCH, dtype=np.float32)])  # of pixels in radii, [PATCH, PATCH]


@dataclass
class Canvas:
    """A lesion that is being painted: each array is [PATCH, PATCH] or, for the color, [PATCH, PATCH, 3]."""

    rng: np.random.Generator
    size: float  # as in `Traits`
    color: Array
    cover: Array  # how much of the skin is hidden, 0..1
    depth: Array  # distance inward from the border in radii; negative outside
    radius: Array
    angle: Array

    def noise(self, cells: int) -> Array:
        """Smooth noise [PATCH, PATCH]."""
        return noise(self.rng, cells)

    def tint(self, opacity: float, mask: Array, color: Color, hide: float = 0) -> None:
        """Blend in a color by the mask (0..1) times `opacity`; hide the skin below the mask at least by `hide`."""
        self.color += (np.float32(opacity) * mask)[..., None] * (np.asarray(color, np.float32) - self.color)
        self.hide(hide, mask)

    def shade(self, factor: Array) -> None:
        """Multiply the color by a factor per pixel, the red a little less: pigment darkens to brown, not to gray."""
        self.color *= factor[..., None]
        self.color[..., 0] *= np.float32(1.12) - np.float32(0.12) * factor

    def hide(self, opacity: float, mask: Array) -> None:
        """Hide the skin below the mask (0..1) at least by this opacity."""
        self.cover = np.maximum(self.cover, np.float32(opacity) * mask)

    def points(self, count: int, margin: float, outer: float = 9.0) -> Array:
        """Draw up to `count` points [n, 2] (x, y in patch pixels) whose depth lies between margin and outer."""
        inside = np.flatnonzero((self.depth > margin) & (self.depth < outer))
        chosen = self.rng.choice(inside, count) if inside.size else inside
        return np.stack([chosen % PATCH, chosen // PATCH], axis=1).astype(np.float32)

    def radii(self, mean: float, low: float, high: float, count: int) -> Array:
        """Draw `count` radii [n] in patch pixels: `mean` photograph pixels times a factor between low and high."""
        return self.pixels(mean) * self.rng.uniform(low, high, count).astype(np.float32)

    def spots(self, points: Array, radii: Array, blur: float = 0.0, oval: float = 0.8) -> Array:
        """Mask [PATCH, PATCH] of ellipses: centers [n, 2] and radii [n] in patch pixels."""
        mask = Image.new("L", (2 * PATCH, 2 * PATCH))
        pen = ImageDraw.Draw(mask)
        for (x, y), r in zip(points.tolist(), radii.tolist(), strict=True):
            a, b = r * self.rng.uniform(oval, 1 / oval, 2)
            pen.ellipse((2 * (x - a), 2 * (y - b), 2 * (x + a), 2 * (y + b)), fill=255)
        return _reduced(mask, blur)

    def dots(
        self, count: int, mean: float, low: float, high: float, margin: float, blur: float, oval: float = 0.8
    ) -> Array:
        """Mask [PATCH, PATCH] of `count` spots at random points: `radii`, `points` and `spots` in one."""
        radii = self.radii(mean, low, high, count)
        return self.spots(self.points(count, margin), radii, blur, oval)

    def pixels(self, view_pixels: float) -> float:
        """Convert a length in pixels of the photograph (at magnification 1) to patch pixels."""
        return view_pixels * RADIUS / (self.size * HEIGHT / 2)


def noise(rng: np.random.Generator, cells: int, width: int = PATCH, height: int = PATCH) -> Array:
    """Smooth noise [height, width] of about unit variance with `cells` bumps along the width."""
    rows = max(2, round(cells * height / width))
    small = Image.fromarray(rng.standard_normal((rows, max(2, cells)), np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) * np.float32(1.3)


def step(values: Array, low: float, high: float) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high` (or fall, where high < low)."""
    t: Array = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def strokes(lines: Iterable[tuple[Array, float]], width: int, height: int, blur: float = 0.0) -> Array:
    """Mask [height, width] of polylines: points [n, 2] and line widths, both in pixels."""
    mask = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(mask)
    for points, thickness in lines:
        pen.line([(2 * x, 2 * y) for x, y in points.tolist()], fill=255, width=max(1, round(2 * thickness)))
    return _reduced(mask, blur)


def _reduced(mask: Image.Image, blur: float) -> Array:
    """A mask drawn at twice the size, antialiased and blurred, in 0..1."""
    mask = mask.reduce(2)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(mask, np.float32) / np.float32(255)
