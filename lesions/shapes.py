"""Images for a source task: recognize formula-drawn shapes and textures, so that transfer needs no download.

After Kataoka et al. 2020, "Pre-training without Natural Images": formulas give endless labeled images. The classes ask
for what dermatoscopy asks for: border, symmetry, texture, structure. Colors, size, turn and light say nothing of them.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

_CHUNK = 64  # images of a class drawn at once: enough to vectorise, few enough to stay in the processor's cache


class _Board:
    """The coordinates of n images at once, each turned, shifted and scaled its own way.

    x and y are [n, pixels, pixels], with an object's radius about 1 and a texture's period about 1; r and a are the
    same in polar form (a in -pi..pi). `ink` masks are 0..1 and of the same shape.
    """

    def __init__(self, rng: np.random.Generator, n: int, pixels: int) -> None:
        self.rng, self.n, self.pixels = rng, n, pixels
        axis = np.linspace(-1, 1, pixels, dtype=np.float32)
        scale = self.draw(0.38, 0.75)
        turn = self.draw(0, 2 * math.pi)
        u = axis[None, None, :] - self.draw(-0.2, 0.2)
        v = axis[None, :, None] - self.draw(-0.2, 0.2)
        squeeze = self.draw(0.8, 1.25)
        self.x = (np.cos(turn) * u - np.sin(turn) * v) / scale * squeeze
        self.y = (np.sin(turn) * u + np.cos(turn) * v) / scale / squeeze
        self.soft = self.draw(1.6 / pixels, 6.0 / pixels) / scale  # the width of an edge
        self.r = np.hypot(self.x, self.y)
        self.a = np.arctan2(self.y, self.x)

    def draw(self, low: float, high: float) -> Array:
        """One uniform number per image, [n, 1, 1]."""
        return np.asarray(self.rng.uniform(low, high, (self.n, 1, 1)), np.float32)

    def whole(self, low: int, high: int) -> Array:
        """One whole number per image, from low to high inclusive, [n, 1, 1]."""
        return np.floor(self.draw(low, high + 1))

    def edge(self, depth: Array) -> Array:
        """1 where depth > 0, 0 elsewhere, with an edge of each image's softness."""
        return _between(depth / self.soft + np.float32(0.5))

    def noise(self, cells: int) -> Array:
        """Smooth noise of about unit variance with `cells` bumps along a side."""
        small = self.rng.standard_normal((self.n, cells, cells), np.float32)
        size = (self.pixels, self.pixels)
        smooth = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in small]
        return np.stack(smooth) * np.float32(1.3)

    def harmonics(self, low: int, high: int, swing: float) -> Array:
        """A border that strays from radius 0.8 by waves of the given orders."""
        border: Array = np.full_like(self.r, 0.8)
        for order in range(low, high + 1):
            border += self.draw(0.4 * swing, swing) * np.cos(order * self.a + self.draw(0, 2 * math.pi))
        return border


def _between(values: Array) -> Array:
    """Clip to 0..1."""
    clipped: Array = np.clip(values, 0, 1)
    return clipped


def _disc(b: _Board) -> Array:
    return b.edge(0.8 - b.r)


def _ring(b: _Board) -> Array:
    return b.edge(b.draw(0.1, 0.25) - np.abs(0.8 - b.r))


def _square(b: _Board) -> Array:
    return b.edge(0.8 - np.maximum(np.abs(b.x), np.abs(b.y)))


def _star(b: _Board) -> Array:
    return b.edge(0.75 + b.draw(0.25, 0.4) * np.cos(b.whole(5, 8) * b.a) - b.r)


def _smooth_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(2, 3, 0.12) - b.r)


def _jagged_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(2, 3, 0.06) + np.float32(0.16) * b.noise(18) - b.r)


def _lopsided_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(1, 1, 0.45) + b.harmonics(2, 3, 0.2) - 0.8 - b.r)


def _faded_blob(b: _Board) -> Array:
    return _between(1.3 - b.r / b.draw(0.75, 1.0)) ** 1.3


def _half_dark_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(2, 4, 0.06) - b.r) * (1 - b.draw(0.45, 0.7) * b.edge(b.x + np.float32(0.15) * b.noise(4)))


def _holed_blob(b: _Board) -> Array:
    hole = np.hypot(b.x - b.draw(-0.2, 0.2), b.y - b.draw(-0.2, 0.2))
    return b.edge(b.harmonics(2, 4, 0.06) - b.r) * (1 - b.draw(0.6, 1.0) * b.edge(b.draw(0.25, 0.4) - hole))


def _streaked_blob(b: _Board) -> Array:
    return b.edge(0.55 + b.draw(0.2, 0.4) * np.cos(b.whole(14, 24) * b.a + b.noise(5)) - b.r)


def _netted_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(2, 4, 0.06) - b.r) * (0.35 + np.float32(0.65) * _network(b))


def _dotted_blob(b: _Board) -> Array:
    return b.edge(b.harmonics(2, 4, 0.06) - b.r) * (0.35 + np.float32(0.65) * _dots(b))


def _stripes(b: _Board) -> Array:
    return b.edge((np.sin(b.draw(4, 9) * b.x) + b.draw(-0.3, 0.3)) / 7)


def _waves(b: _Board) -> Array:
    bend = b.draw(0.35, 0.6) * np.sin(b.draw(2.5, 4.5) * b.y)
    return b.edge((np.sin(b.draw(5, 9) * (b.x + bend)) + b.draw(-0.3, 0.3)) / 7)


def _checker(b: _Board) -> Array:
    k = b.draw(3, 7)
    return b.edge(np.sin(k * b.x) * np.sin(k * b.y) / 5)


def _dots(b: _Board) -> Array:
    k = b.draw(5, 10)
    jitter = np.float32(0.7) * b.noise(6)
    return b.edge((np.cos(k * b.x + jitter) + np.cos(k * b.y - jitter) - b.draw(0.5, 1.0)) / 7)


def _network(b: _Board) -> Array:
    k, jitter = b.draw(6, 11), np.float32(0.6) * b.noise(6)
    waves = [np.cos(k * (math.cos(t) * b.x + math.sin(t) * b.y) + jitter) for t in (0.0, 2.0944, 4.1888)]
    return b.edge((b.draw(-0.7, -0.3) - sum(waves[1:], waves[0])) / 7)


def _spiral(b: _Board) -> Array:
    return b.edge(np.sin(b.draw(5, 9) * b.r + b.whole(1, 3) * b.a) * (0.25 + b.r) / 7)


def _rings(b: _Board) -> Array:
    return b.edge(np.sin(b.draw(6, 12) * b.r) / 7)


def _branches(b: _Board) -> Array:
    return b.edge(b.draw(0.08, 0.16) - np.abs(b.noise(5) + np.float32(0.25) * b.noise(11)))


def _clouds(b: _Board) -> Array:
    return _between(0.5 + np.float32(0.35) * (b.noise(3) + np.float32(0.4) * b.noise(7)))


def _grain(b: _Board) -> Array:
    return _between(0.5 + np.float32(0.35) * b.noise(b.pixels // 3))


def _slope(b: _Board) -> Array:
    return _between(0.5 + b.draw(0.25, 0.5) * b.x)


_FORMULAS: dict[str, Callable[[_Board], Array]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "smooth_blob": _smooth_blob,
    "jagged_blob": _jagged_blob,
    "lopsided_blob": _lopsided_blob,
    "faded_blob": _faded_blob,
    "half_dark_blob": _half_dark_blob,
    "holed_blob": _holed_blob,
    "streaked_blob": _streaked_blob,
    "netted_blob": _netted_blob,
    "dotted_blob": _dotted_blob,
    "stripes": _stripes,
    "waves": _waves,
    "checker": _checker,
    "dots": _dots,
    "network": _network,
    "spiral": _spiral,
    "rings": _rings,
    "branches": _branches,
    "clouds": _clouds,
    "grain": _grain,
    "slope": _slope,
}

SHAPES: tuple[str, ...] = tuple(_FORMULAS)
"""Class names in the order of the labels."""


def draw(count: int, pixels: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `count` images of pixels x pixels and their labels, in shuffled order, every class as often as can be.

    Returns uint8 [count, pixels, pixels, 3] (RGB, 0 to 255) and int64 [count] (places in `SHAPES`). The same arguments
    give the same bytes. Raises ValueError for fewer than 8 pixels or a negative count.
    """
    if pixels < 8 or count < 0:
        raise ValueError(f"{count} images of {pixels} pixels: at least 8 pixels and no negative count")
    labels = np.random.default_rng([seed, 0]).permutation(np.arange(count, dtype=np.int64) % len(SHAPES))
    images = np.empty((count, pixels, pixels, 3), np.uint8)
    for label, formula in enumerate(_FORMULAS.values()):
        places = np.flatnonzero(labels == label)
        for start in range(0, len(places), _CHUNK):
            chunk = places[start : start + _CHUNK]
            board = _Board(np.random.default_rng([seed, 1, label, start]), len(chunk), pixels)
            images[chunk] = _color(board, formula(board))
    return images, labels


def _color(board: _Board, ink: Array) -> NDArray[np.uint8]:
    """Ink on paper in two random colors, with uneven light and sensor noise: uint8 [n, pixels, pixels, 3]."""
    rng, n = board.rng, board.n
    paper = rng.uniform(0.1, 0.95, (n, 1, 1, 3)).astype(np.float32)
    away = rng.uniform(0.15, 0.6, (n, 1, 1, 1)) * np.where(paper.mean(axis=3, keepdims=True) > 0.5, -1, 1)
    color = np.clip(paper + (away + rng.normal(0, 0.12, (n, 1, 1, 3))).astype(np.float32), 0, 1)
    light = 1 + np.float32(0.07) * board.noise(3)
    # One field of noise for the three channels: color noise costs three times as much and teaches nothing more.
    grain = board.draw(0, 0.06) * rng.standard_normal(ink.shape, np.float32)
    image = (paper + ink[..., None] * (color - paper)) * light[..., None] + grain[..., None]
    return np.asarray(_between(image) * 255, np.uint8)
