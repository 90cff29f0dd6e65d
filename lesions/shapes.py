"""Draw images of a source task, shapes and textures by formula, so that transfer learning needs no download.

After Kataoka et al. 2020, "Pre-training without Natural Images": formulas give any number of labeled images. The
classes differ in what matters in dermatoscopy: border, symmetry, texture, structure. Color, size, rotation and light do
not depend on the class.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lesions.phantom.canvas import Array, noise

_CHUNK = 64  # images of a class drawn at once: enough to vectorize, few enough for the processor's cache


class _Board:
    """Coordinates x, y (polar: r, a) of n images [n, pixels, pixels], each with its own rotation, shift and scale.

    The radius of an object and the period of a texture are about 1. Formulas return `ink`, a mask in 0..1.
    """

    def __init__(self, rng: np.random.Generator, n: int, pixels: int) -> None:
        self.rng, self.n, self.pixels = rng, n, pixels
        axis = np.linspace(-1, 1, pixels, dtype=np.float32)
        scale, turn = self.draw(0.38, 0.75), self.draw(0, 2 * math.pi)
        u, v = axis - self.draw(-0.2, 0.2), axis[:, None] - self.draw(-0.2, 0.2)
        squeeze = self.draw(0.8, 1.25)
        self.x = (np.cos(turn) * u - np.sin(turn) * v) / scale * squeeze
        self.y = (np.sin(turn) * u + np.cos(turn) * v) / scale / squeeze
        self.soft = self.draw(1.6 / pixels, 6.0 / pixels) / scale  # the width of an edge
        self.r, self.a = np.hypot(self.x, self.y), np.arctan2(self.y, self.x)

    def draw(self, low: float, high: float) -> Array:
        """One uniform number per image, [n, 1, 1]."""
        return np.asarray(self.rng.uniform(low, high, (self.n, 1, 1)), np.float32)

    def whole(self, low: int, high: int) -> Array:
        """One integer per image, from low to high inclusive, [n, 1, 1]."""
        return np.floor(self.draw(low, high + 1))

    def edge(self, depth: Array) -> Array:
        """1 where depth > 0, 0 elsewhere, with an edge of each image's softness."""
        return (depth / self.soft + np.float32(0.5)).clip(0, 1)

    def noise(self, cells: int) -> Array:
        """Smooth noise of about unit variance with `cells` bumps along a side."""
        return np.stack([noise(self.rng, cells, self.pixels, self.pixels) for _ in range(self.n)])

    def harmonics(self, low: int, high: int, swing: float) -> Array:
        """A border around radius 0.8 with waves of the orders low to high."""
        border: Array = np.full_like(self.r, 0.8)
        for order in range(low, high + 1):
            border += self.draw(0.4 * swing, swing) * np.cos(order * self.a + self.draw(0, 2 * math.pi))
        return border

    def blob(self) -> Array:
        """A smooth blob."""
        return self.edge(self.harmonics(2, 4, 0.06) - self.r)


def _holed_blob(b: _Board) -> Array:
    hole = np.hypot(b.x - b.draw(-0.2, 0.2), b.y - b.draw(-0.2, 0.2))
    return b.blob() * (1 - b.draw(0.6, 1.0) * b.edge(b.draw(0.25, 0.4) - hole))


def _waves(b: _Board) -> Array:
    bend = b.draw(0.35, 0.6) * np.sin(b.draw(2.5, 4.5) * b.y)
    return b.edge((np.sin(b.draw(5, 9) * (b.x + bend)) + b.draw(-0.3, 0.3)) / 7)


def _dots(b: _Board) -> Array:
    k = b.draw(5, 10)
    jitter = np.float32(0.7) * b.noise(6)
    return b.edge((np.cos(k * b.x + jitter) + np.cos(k * b.y - jitter) - b.draw(0.5, 1.0)) / 7)


def _network(b: _Board) -> Array:
    k, jitter = b.draw(6, 11), np.float32(0.6) * b.noise(6)
    waves = [np.cos(k * (math.cos(t) * b.x + math.sin(t) * b.y) + jitter) for t in (0.0, 2.0944, 4.1888)]
    return b.edge((b.draw(-0.7, -0.3) - sum(waves[1:], waves[0])) / 7)


_FORMULAS: dict[str, Callable[[_Board], Array]] = {
    "disc": lambda b: b.edge(0.8 - b.r),
    "ring": lambda b: b.edge(b.draw(0.1, 0.25) - np.abs(0.8 - b.r)),
    "square": lambda b: b.edge(0.8 - np.maximum(np.abs(b.x), np.abs(b.y))),
    "star": lambda b: b.edge(0.75 + b.draw(0.25, 0.4) * np.cos(b.whole(5, 8) * b.a) - b.r),
    "smooth_blob": lambda b: b.edge(b.harmonics(2, 3, 0.12) - b.r),
    "jagged_blob": lambda b: b.edge(b.harmonics(2, 3, 0.06) + np.float32(0.16) * b.noise(18) - b.r),
    "lopsided_blob": lambda b: b.edge(b.harmonics(1, 1, 0.45) + b.harmonics(2, 3, 0.2) - 0.8 - b.r),
    "faded_blob": lambda b: (1.3 - b.r / b.draw(0.75, 1.0)).clip(0, 1) ** 1.3,
    "half_dark_blob": lambda b: b.blob() * (1 - b.draw(0.45, 0.7) * b.edge(b.x + np.float32(0.15) * b.noise(4))),
    "holed_blob": _holed_blob,
    "streaked_blob": lambda b: b.edge(0.55 + b.draw(0.2, 0.4) * np.cos(b.whole(14, 24) * b.a + b.noise(5)) - b.r),
    "netted_blob": lambda b: b.blob() * (0.35 + np.float32(0.65) * _network(b)),
    "dotted_blob": lambda b: b.blob() * (0.35 + np.float32(0.65) * _dots(b)),
    "stripes": lambda b: b.edge((np.sin(b.draw(4, 9) * b.x) + b.draw(-0.3, 0.3)) / 7),
    "waves": _waves,
    "checker": lambda b: b.edge(np.multiply(*np.sin(b.draw(3, 7) * np.stack([b.x, b.y]))) / 5),
    "dots": _dots,
    "network": _network,
    "spiral": lambda b: b.edge(np.sin(b.draw(5, 9) * b.r + b.whole(1, 3) * b.a) * (0.25 + b.r) / 7),
    "rings": lambda b: b.edge(np.sin(b.draw(6, 12) * b.r) / 7),
    "branches": lambda b: b.edge(b.draw(0.08, 0.16) - np.abs(b.noise(5) + np.float32(0.25) * b.noise(11))),
    "clouds": lambda b: (0.5 + np.float32(0.35) * (b.noise(3) + np.float32(0.4) * b.noise(7))).clip(0, 1),
    "grain": lambda b: (0.5 + np.float32(0.35) * b.noise(b.pixels // 3)).clip(0, 1),
    "slope": lambda b: (0.5 + b.draw(0.25, 0.5) * b.x).clip(0, 1),
}
SHAPES: tuple[str, ...] = tuple(_FORMULAS)  # class names in the order of the labels


def draw(count: int, pixels: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `count` images of pixels x pixels and their labels, in shuffled order, with balanced classes.

    Returns uint8 [count, pixels, pixels, 3] (RGB, 0 to 255) and int64 [count] (indices into `SHAPES`). The same
    arguments give the same bytes. Raises ValueError for fewer than 8 pixels or a negative count.
    """
    if pixels < 8 or count < 0:
        raise ValueError(f"{count} images of {pixels} pixels: at least 8 pixels and no negative count")
    labels = np.random.default_rng([seed, 0]).permutation(np.arange(count, dtype=np.int64) % len(SHAPES))
    images = np.empty((count, pixels, pixels, 3), np.uint8)
    for label, formula in enumerate(_FORMULAS.values()):
        indices = np.flatnonzero(labels == label)
        for start in range(0, len(indices), _CHUNK):
            chunk = indices[start : start + _CHUNK]
            board = _Board(np.random.default_rng([seed, 1, label, start]), len(chunk), pixels)
            images[chunk] = _color(board, formula(board))
    return images, labels


def _color(board: _Board, ink: Array) -> NDArray[np.uint8]:
    """Color the ink and its background at random, add uneven light and sensor noise: uint8 [n, pixels, pixels, 3]."""
    rng, n = board.rng, board.n
    paper = rng.uniform(0.1, 0.95, (n, 1, 1, 3)).astype(np.float32)
    away = rng.uniform(0.15, 0.6, (n, 1, 1, 1)) * np.where(paper.mean(axis=3, keepdims=True) > 0.5, -1, 1)
    color = np.clip(paper + (away + rng.normal(0, 0.12, (n, 1, 1, 3))).astype(np.float32), 0, 1)
    light = 1 + np.float32(0.07) * board.noise(3)
    # The same noise in the three channels: color noise costs three times as much and does not help the training.
    grain = board.draw(0, 0.06) * rng.standard_normal(ink.shape, np.float32)
    image = (paper + ink[..., None] * (color - paper)) * light[..., None] + grain[..., None]
    return np.asarray(image.clip(0, 1) * 255, np.uint8)
