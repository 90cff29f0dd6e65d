"""Paints one phantom lesion: a patch with its structures, of which `phantom_views` takes photographs.

A lesion is painted once, on a square RGBA patch in its own frame, so that several views show the same lesion. The
structures follow the vocabulary of dermatoscopy (Kittler et al. 2016, "Standardization of terminology in dermoscopy").
Colors are sRGB in 0..1 as float32; lengths on the patch are in units of the lesion's mean radius.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array: TypeAlias = NDArray[np.float32]
Color: TypeAlias = tuple[float, float, float]

WIDTH, HEIGHT = 300, 225
PATCH = 288
_REACH = 1.7  # half the patch's side in lesion radii: room for fingers and soft borders
RADIUS = PATCH / 2 / _REACH  # a lesion's mean radius in patch pixels

_AXIS = np.linspace(-_REACH, _REACH, PATCH, dtype=np.float32)
_X, _Y = np.meshgrid(_AXIS, _AXIS)


@dataclass(frozen=True)
class Traits:
    """What one lesion looks like, whichever the view."""

    skin: Color
    """The skin around it."""
    colors: tuple[Color, ...]
    """Its pigments, the main one first."""
    size: float
    """Mean radius as a fraction of half the image's height, 0.2 to 1.2."""
    elongation: float
    """Long axis over short axis, at least 1."""
    irregularity: float
    """How far the border strays from an ellipse, in radii, 0 to 0.5."""
    asymmetry: float
    """How unevenly the pigments lie, 0 to 1."""
    softness: float
    """Width of the border, in radii, 0.02 to 0.5."""
    opacity: float
    """How much of the skin it hides, 0 to 1."""
    structures: Mapping[str, float]
    """Strength (0 to 1) of each structure present; the names are those of `STRUCTURES`."""
    hair: float
    """How hairy the skin is, 0 (no hair) to 1."""


@dataclass
class _Canvas:
    """A lesion being painted: each array is [PATCH, PATCH] or, for the color, [PATCH, PATCH, 3]."""

    rng: np.random.Generator
    size: float
    color: Array
    cover: Array
    depth: Array
    """Distance inward from the border in radii; negative outside."""
    radius: Array
    angle: Array

    def tint(self, mask: Array, color: Color) -> None:
        """Blend a color in where the mask (0..1) says so."""
        self.color += mask[..., None] * (np.asarray(color, np.float32) - self.color)

    def shade(self, factor: Array) -> None:
        """Multiply the color by a factor per pixel, the red a little less: pigment darkens to brown, not to gray."""
        self.color *= factor[..., None]
        self.color[..., 0] *= np.float32(1.12) - np.float32(0.12) * factor

    def places(self, count: int, margin: float, outer: float = 9.0) -> Array:
        """Draw up to `count` points [n, 2] (x, y in patch pixels) whose depth lies between margin and outer."""
        inside = np.flatnonzero((self.depth > margin) & (self.depth < outer))
        if inside.size == 0:
            return np.zeros((0, 2), np.float32)
        chosen = self.rng.choice(inside, count)
        return np.stack([chosen % PATCH, chosen // PATCH], axis=1).astype(np.float32)

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


def _spots(points: Array, radii: Array, rng: np.random.Generator, blur: float = 0.0, oval: float = 0.8) -> Array:
    """Mask [PATCH, PATCH] of ellipses: centers [n, 2] and radii [n] in patch pixels."""
    mask = Image.new("L", (2 * PATCH, 2 * PATCH))
    pen = ImageDraw.Draw(mask)
    for (x, y), r in zip(points.tolist(), radii.tolist(), strict=True):
        a, b = r * rng.uniform(oval, 1 / oval, 2)
        pen.ellipse((2 * (x - a), 2 * (y - b), 2 * (x + a), 2 * (y + b)), fill=255)
    mask = mask.reduce(2)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(mask, np.float32) / np.float32(255)


def strokes(lines: Iterable[tuple[Array, float]], width: int, height: int, blur: float = 0.0) -> Array:
    """Mask [height, width] of polylines: points [n, 2] and line widths, both in pixels."""
    mask = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(mask)
    for points, thickness in lines:
        pen.line([(2 * x, 2 * y) for x, y in points.tolist()], fill=255, width=max(1, round(2 * thickness)))
    mask = mask.reduce(2)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(mask, np.float32) / np.float32(255)


def _honeycomb(canvas: _Canvas, cell: float, disorder: float) -> Array:
    """Lines (0..1) of a net whose meshes are `cell` photograph pixels wide and warped by `disorder`."""
    rng, turn = canvas.rng, canvas.rng.uniform(0, math.pi)
    k = np.float32(2 * math.pi * RADIUS / canvas.pixels(cell))
    x = _X + np.float32(disorder * 0.10) * noise(rng, 9)
    y = _Y + np.float32(disorder * 0.10) * noise(rng, 9)
    waves = np.zeros_like(_X)
    for i in range(3):
        direction = turn + i * 2 * math.pi / 3
        waves += np.cos(k * (np.float32(math.cos(direction)) * x + np.float32(math.sin(direction)) * y))
    return step(waves + np.float32(0.25 + 0.5 * disorder) * noise(rng, 16), 0.5, -1.4)


def _network(c: _Canvas, strength: float) -> None:
    net = _honeycomb(c, c.rng.uniform(8, 12), 0.55)
    fade = step(c.depth, -0.1, 0.25) * step(noise(c.rng, 5), -1.8, 0.3)
    c.shade(1 - np.float32(0.4 * strength + 0.08) * net * fade + np.float32(0.10) * (1 - net) * fade)


def _atypical_network(c: _Canvas, strength: float) -> None:
    net = _honeycomb(c, c.rng.uniform(10, 17), 1.1)
    patches = step(noise(c.rng, 4), -0.5, 0.6) * step(c.depth, -0.05, 0.1)
    c.shade(1 - np.float32(0.55 * strength + 0.15) * net * patches)


def _fine_rim(c: _Canvas, strength: float) -> None:
    net = _honeycomb(c, c.rng.uniform(7, 10), 0.35)
    rim = step(c.depth, -0.2, 0.15) * step(c.depth, 0.7, 0.3)
    c.shade(1 - np.float32(0.3 * strength + 0.12) * net * rim)
    c.cover = np.maximum(c.cover, np.float32(0.45) * net * rim)


def _globules(c: _Canvas, strength: float) -> None:
    count = round(c.rng.uniform(15, 60) * (0.5 + strength / 2))
    radii = c.pixels(2.6) * c.rng.uniform(0.6, 1.5, count).astype(np.float32)
    c.shade(1 - np.float32(0.35 + 0.3 * strength) * _spots(c.places(count, 0.03), radii, c.rng, 0.6))


def _streaks(c: _Canvas, strength: float) -> None:
    around = c.angle + np.float32(0.05) * noise(c.rng, 10)
    knots = int(c.rng.integers(45, 90))
    turns = np.linspace(-math.pi, math.pi, knots)
    fingers = np.interp(around, turns, c.rng.uniform(-1, 1, knots)).astype(np.float32)
    sector = step(noise(c.rng, 3), -0.2, 0.8)
    length = np.float32(0.10 + 0.22 * strength) * sector * np.clip(fingers, 0, 1)
    mask = step(fingers, 0.0, 0.6) * np.clip((c.depth + length) / 0.15, 0, 1) * step(c.depth, 0.4, 0.05) * sector
    c.tint(np.float32(0.75) * mask, (0.25, 0.17, 0.14))
    c.cover = np.maximum(c.cover, np.float32(0.8) * mask)


def _veil(c: _Canvas, strength: float) -> None:
    haze = step(noise(c.rng, 4) - np.float32(0.6) * (c.radius - 0.5), 0.1, 0.9) * step(c.depth, 0.02, 0.25)
    c.tint(np.float32(0.5 + 0.4 * strength) * haze, (0.47, 0.50, 0.62))
    c.tint(np.float32(0.35) * haze * step(noise(c.rng, 7), 0.2, 1.2), (0.83, 0.83, 0.90))


def _nests(c: _Canvas, strength: float) -> None:
    count = round(c.rng.uniform(2, 5) + 6 * strength)
    radii = c.pixels(8) * c.rng.uniform(0.5, 1.5, count).astype(np.float32)
    mask = _spots(c.places(count, 0.08), radii, c.rng, 2.5, oval=0.6)
    mask = mask * step(noise(c.rng, 12), -2.2, 0.6)
    c.tint(np.float32(0.55 + 0.35 * strength) * mask, (0.37, 0.35, 0.43))
    c.cover = np.maximum(c.cover, np.float32(0.8) * mask)


def _branches(c: _Canvas, x: float, y: float, heading: float, thickness: float) -> list[tuple[Array, float]]:
    """One vessel's tree of polylines, each branch thinner than its parent."""
    lines: list[tuple[Array, float]] = []
    todo = [(x, y, heading, thickness)]
    while todo:
        x, y, heading, thickness = todo.pop()
        points = [(x, y)]
        for _ in range(int(c.rng.integers(4, 9))):
            heading += c.rng.normal(0, 0.35)
            x, y = x + c.pixels(5) * math.cos(heading), y + c.pixels(5) * math.sin(heading)
            points.append((x, y))
        lines.append((np.array(points, np.float32), thickness))
        if thickness > c.pixels(0.8):
            todo += [(x, y, heading + s * c.rng.uniform(0.3, 0.9), 0.68 * thickness) for s in (-1, 1)]
    return lines


def _vessels(c: _Canvas, strength: float) -> None:
    lines: list[tuple[Array, float]] = []
    for x, y in c.places(round(2 + 4 * strength), -0.05, 0.45).tolist():
        inward = math.atan2(PATCH / 2 - y, PATCH / 2 - x) + c.rng.normal(0, 0.5)
        lines += _branches(c, x, y, inward, c.pixels(c.rng.uniform(1.9, 3.2)))
    mask = strokes(lines, PATCH, PATCH, 0.5) * step(c.depth, -0.2, 0.02)
    c.tint(np.float32(0.65 + 0.3 * strength) * mask, (0.66, 0.17, 0.20))
    c.cover = np.maximum(c.cover, np.float32(0.85) * mask)


def _sheen(c: _Canvas, strength: float) -> None:
    gleam = step(noise(c.rng, 6), 0.2, 1.5) * step(c.depth, 0.0, 0.3)
    c.tint(np.float32(0.35 + 0.4 * strength) * gleam, (0.95, 0.88, 0.88))


def _strawberry(c: _Canvas, strength: float) -> None:
    count = round(c.rng.uniform(25, 60))
    points = c.places(count, 0.0)
    sizes = c.pixels(3.2) * c.rng.uniform(0.7, 1.3, count).astype(np.float32)
    between = step(noise(c.rng, 22), -0.4, 0.8) * step(c.depth, -0.1, 0.2)
    c.tint(np.float32(0.25 + 0.4 * strength) * between, (0.75, 0.27, 0.28))
    c.tint(np.float32(0.4 + 0.5 * strength) * _spots(points, sizes, c.rng, 0.8), (0.93, 0.80, 0.70))
    c.tint(np.float32(0.6) * _spots(points, 0.45 * sizes, c.rng, 0.5), (0.72, 0.48, 0.36))


def _scale(c: _Canvas, strength: float) -> None:
    patches = step(noise(c.rng, 5), 0.0, 1.0) * step(c.depth, -0.05, 0.15)
    flakes = step(noise(c.rng, 26) + np.float32(0.6) * noise(c.rng, 60), 0.1, 0.9) * patches
    c.tint(np.float32(0.45 + 0.5 * strength) * flakes, (0.95, 0.92, 0.84))
    c.cover = np.maximum(c.cover, np.float32(0.8) * flakes)


def _milia(c: _Canvas, strength: float) -> None:
    count = round(4 + 16 * strength * c.rng.uniform(0.5, 1))
    radii = c.pixels(3.2) * c.rng.uniform(0.7, 1.5, count).astype(np.float32)
    c.tint(np.float32(0.6 + 0.3 * strength) * _spots(c.places(count, 0.1), radii, c.rng, 0.9), (0.96, 0.90, 0.78))


def _comedones(c: _Canvas, strength: float) -> None:
    count = round(4 + 14 * strength * c.rng.uniform(0.5, 1))
    radii = c.pixels(4.0) * c.rng.uniform(0.6, 1.5, count).astype(np.float32)
    c.tint(np.float32(0.85) * _spots(c.places(count, 0.08), radii, c.rng, 0.6, oval=0.7), (0.25, 0.16, 0.10))


def _scar(c: _Canvas, strength: float) -> None:
    width = c.rng.uniform(0.35, 0.6)
    patch = step(c.radius + np.float32(0.12) * noise(c.rng, 6), width, 0.4 * width)
    c.tint(np.float32(0.45 + 0.45 * strength) * patch, (0.93, 0.83, 0.80))


def _lacunae(c: _Canvas, strength: float) -> None:
    count = round(c.rng.uniform(8, 22) + 10 * strength)
    points, sizes = c.places(count, 0.08), c.pixels(9) * c.rng.uniform(0.5, 1.4, count).astype(np.float32)
    rims, cores = _spots(points, sizes, c.rng, 1.8), _spots(points, 0.7 * sizes, c.rng, 3.0)
    c.tint(np.float32(0.5 + 0.4 * strength) * rims, (0.50, 0.13, 0.20))
    c.tint(np.float32(0.7) * cores * step(noise(c.rng, 5), -1, 1), (0.72, 0.16, 0.20))


STRUCTURES: dict[str, Callable[[_Canvas, float], None]] = {
    "network": _network,
    "atypical_network": _atypical_network,
    "fine_rim": _fine_rim,
    "globules": _globules,
    "streaks": _streaks,
    "strawberry": _strawberry,
    "nests": _nests,
    "lacunae": _lacunae,
    "veil": _veil,
    "scar": _scar,
    "sheen": _sheen,
    "vessels": _vessels,
    "comedones": _comedones,
    "milia": _milia,
    "scale": _scale,
}
"""Every structure by name, in the order in which they are painted: the deepest first."""


def patch(traits: Traits, rng: np.random.Generator) -> Image.Image:
    """Paint a lesion in its own frame: an RGBA image of PATCH x PATCH pixels, transparent where there is skin.

    The lesion's mean radius is PATCH / 3.4 pixels whatever its size: a view magnifies it.
    """
    stretch = np.float32(math.sqrt(traits.elongation))
    x, y = _X / stretch, _Y * stretch
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    turns = np.linspace(-math.pi, math.pi, 361)
    border = np.ones(361)
    for harmonic in range(2, 9):
        swing = rng.normal(0, traits.irregularity / harmonic**0.8)
        border += swing * np.cos(harmonic * turns + rng.uniform(0, 2 * math.pi))
    edge = np.interp(angle, turns, np.clip(border, 0.5, 1.4)).astype(np.float32)
    depth = edge - radius + np.float32(0.25 * traits.irregularity) * noise(rng, 14)
    soft = np.float32(traits.softness) * np.exp(np.float32(0.35) * noise(rng, 3))
    cover = np.float32(traits.opacity) * step(depth / soft, -1, 1)

    color = np.empty((PATCH, PATCH, 3), np.float32)
    color[:] = traits.colors[0]
    canvas = _Canvas(rng, traits.size, color, cover, depth, radius, angle)
    for other in traits.colors[1:]:
        lean = rng.uniform(0, 2 * math.pi)
        side = np.float32(math.cos(lean)) * x + np.float32(math.sin(lean)) * y
        ring = np.float32(rng.choice([-1, 1])) * (radius - np.float32(0.6))
        where = np.float32(1.3 * traits.asymmetry) * (side + np.float32(0.6) * noise(rng, 4))
        where += np.float32(1.2 * (1 - traits.asymmetry)) * ring + np.float32(0.12) * noise(rng, 18)
        canvas.tint(step(where, -0.3, rng.uniform(0.3, 1.0)), other)
    canvas.shade(1 + np.float32(0.06) * noise(rng, 8) + np.float32(0.04) * noise(rng, 40))
    for name, paint in STRUCTURES.items():
        if strength := traits.structures.get(name, 0.0):
            paint(canvas, strength)
    fade = step(np.maximum(np.abs(_X), np.abs(_Y)), _REACH, 0.9 * _REACH)  # no lesion may end in a straight line
    rgba = np.concatenate([canvas.color, (canvas.cover * fade)[..., None]], axis=2)
    return Image.fromarray((np.clip(rgba, 0, 1) * 255).astype(np.uint8))
