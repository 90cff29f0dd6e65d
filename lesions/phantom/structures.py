"""The dermatoscopic structures of a phantom lesion, each painted at a strength between 0 and 1.

They follow the vocabulary of dermatoscopy (Kittler et al. 2016, "Standardization of terminology in dermoscopy").
"""

import math
from collections.abc import Callable

import numpy as np

from lesions.phantom.canvas import PATCH, RADIUS, Array, Canvas, X, Y, step, strokes


def _honeycomb(c: Canvas, low: float, high: float, disorder: float) -> Array:
    """Lines (0..1) of a net whose meshes are low to high photograph pixels wide and warped by `disorder`."""
    cell, turn = c.rng.uniform(low, high), c.rng.uniform(0, math.pi)
    k = np.float32(2 * math.pi * RADIUS / c.pixels(cell))
    x = X + np.float32(disorder * 0.10) * c.noise(9)
    y = Y + np.float32(disorder * 0.10) * c.noise(9)
    waves = np.zeros_like(X)
    for direction in (turn, turn + 2 * math.pi / 3, turn + 2 * 2 * math.pi / 3):
        waves += np.cos(k * (np.float32(math.cos(direction)) * x + np.float32(math.sin(direction)) * y))
    return step(waves + np.float32(0.25 + 0.5 * disorder) * c.noise(16), 0.5, -1.4)


def _network(c: Canvas, strength: float) -> None:
    net = _honeycomb(c, 8, 12, 0.55)
    fade = step(c.depth, -0.1, 0.25) * step(c.noise(5), -1.8, 0.3)
    c.shade(1 - np.float32(0.4 * strength + 0.08) * net * fade + np.float32(0.10) * (1 - net) * fade)


def _atypical_network(c: Canvas, strength: float) -> None:
    net = _honeycomb(c, 10, 17, 1.1)
    c.shade(1 - np.float32(0.55 * strength + 0.15) * net * (step(c.noise(4), -0.5, 0.6) * step(c.depth, -0.05, 0.1)))


def _fine_rim(c: Canvas, strength: float) -> None:
    net, rim = _honeycomb(c, 7, 10, 0.35), step(c.depth, -0.2, 0.15) * step(c.depth, 0.7, 0.3)
    c.shade(1 - np.float32(0.3 * strength + 0.12) * net * rim)
    c.hide(0.45, net * rim)


def _globules(c: Canvas, strength: float) -> None:
    count = round(c.rng.uniform(15, 60) * (0.5 + strength / 2))
    c.shade(1 - np.float32(0.35 + 0.3 * strength) * c.dots(count, 2.6, 0.6, 1.5, margin=0.03, blur=0.6))


def _streaks(c: Canvas, strength: float) -> None:
    around = c.angle + np.float32(0.05) * c.noise(10)
    knots = int(c.rng.integers(45, 90))
    turns = np.linspace(-math.pi, math.pi, knots)
    fingers = np.interp(around, turns, c.rng.uniform(-1, 1, knots)).astype(np.float32)
    sector = step(c.noise(3), -0.2, 0.8)
    length = np.float32(0.10 + 0.22 * strength) * sector * np.clip(fingers, 0, 1)
    mask = step(fingers, 0.0, 0.6) * np.clip((c.depth + length) / 0.15, 0, 1) * step(c.depth, 0.4, 0.05) * sector
    c.tint(0.75, mask, (0.25, 0.17, 0.14), hide=0.8)


def _strawberry(c: Canvas, strength: float) -> None:
    count = round(c.rng.uniform(25, 60))
    points, radii = c.points(count, 0.0), c.radii(3.2, 0.7, 1.3, count)
    between = step(c.noise(22), -0.4, 0.8) * step(c.depth, -0.1, 0.2)
    c.tint(0.25 + 0.4 * strength, between, (0.75, 0.27, 0.28))
    c.tint(0.4 + 0.5 * strength, c.spots(points, radii, 0.8), (0.93, 0.80, 0.70))
    c.tint(0.6, c.spots(points, 0.45 * radii, 0.5), (0.72, 0.48, 0.36))


def _nests(c: Canvas, strength: float) -> None:
    count = round(c.rng.uniform(2, 5) + 6 * strength)
    mask = c.dots(count, 8, 0.5, 1.5, margin=0.08, blur=2.5, oval=0.6) * step(c.noise(12), -2.2, 0.6)
    c.tint(0.55 + 0.35 * strength, mask, (0.37, 0.35, 0.43), hide=0.8)


def _lacunae(c: Canvas, strength: float) -> None:
    count = round(c.rng.uniform(8, 22) + 10 * strength)
    points, radii = c.points(count, 0.08), c.radii(9, 0.5, 1.4, count)
    rims, cores = c.spots(points, radii, 1.8), c.spots(points, 0.7 * radii, 3.0)
    c.tint(0.5 + 0.4 * strength, rims, (0.50, 0.13, 0.20))
    c.tint(0.7, cores * step(c.noise(5), -1, 1), (0.72, 0.16, 0.20))


def _veil(c: Canvas, strength: float) -> None:
    haze = step(c.noise(4) - np.float32(0.6) * (c.radius - 0.5), 0.1, 0.9) * step(c.depth, 0.02, 0.25)
    c.tint(0.5 + 0.4 * strength, haze, (0.47, 0.50, 0.62))
    c.tint(0.35, haze * step(c.noise(7), 0.2, 1.2), (0.83, 0.83, 0.90))


def _scar(c: Canvas, strength: float) -> None:
    width = c.rng.uniform(0.35, 0.6)
    mask = step(c.radius + np.float32(0.12) * c.noise(6), width, 0.4 * width)
    c.tint(0.45 + 0.45 * strength, mask, (0.93, 0.83, 0.80))


def _sheen(c: Canvas, strength: float) -> None:
    c.tint(0.35 + 0.4 * strength, step(c.noise(6), 0.2, 1.5) * step(c.depth, 0.0, 0.3), (0.95, 0.88, 0.88))


def _vessels(c: Canvas, strength: float) -> None:
    """Trees of polylines that grow inward, each branch thinner than its parent."""
    lines: list[tuple[Array, float]] = []
    for x, y in c.points(round(2 + 4 * strength), -0.05, 0.45).tolist():
        inward = math.atan2(PATCH / 2 - y, PATCH / 2 - x) + c.rng.normal(0, 0.5)
        branches = [(x, y, inward, c.pixels(c.rng.uniform(1.9, 3.2)))]
        while branches:
            x, y, heading, thickness = branches.pop()
            points = [(x, y)]
            for _ in range(int(c.rng.integers(4, 9))):
                heading += c.rng.normal(0, 0.35)
                x, y = x + c.pixels(5) * math.cos(heading), y + c.pixels(5) * math.sin(heading)
                points.append((x, y))
            lines.append((np.array(points, np.float32), thickness))
            if thickness > c.pixels(0.8):
                branches += [(x, y, heading + s * c.rng.uniform(0.3, 0.9), 0.68 * thickness) for s in (-1, 1)]
    mask = strokes(lines, PATCH, PATCH, 0.5) * step(c.depth, -0.2, 0.02)
    c.tint(0.65 + 0.3 * strength, mask, (0.66, 0.17, 0.20), hide=0.85)


def _comedones(c: Canvas, strength: float) -> None:
    count = round(4 + 14 * strength * c.rng.uniform(0.5, 1))
    c.tint(0.85, c.dots(count, 4.0, 0.6, 1.5, margin=0.08, blur=0.6, oval=0.7), (0.25, 0.16, 0.10))


def _milia(c: Canvas, strength: float) -> None:
    count = round(4 + 16 * strength * c.rng.uniform(0.5, 1))
    c.tint(0.6 + 0.3 * strength, c.dots(count, 3.2, 0.7, 1.5, margin=0.1, blur=0.9), (0.96, 0.90, 0.78))


def _scale(c: Canvas, strength: float) -> None:
    patches = step(c.noise(5), 0.0, 1.0) * step(c.depth, -0.05, 0.15)
    flakes = step(c.noise(26) + np.float32(0.6) * c.noise(60), 0.1, 0.9) * patches
    c.tint(0.45 + 0.5 * strength, flakes, (0.95, 0.92, 0.84), hide=0.8)


STRUCTURES: dict[str, Callable[[Canvas, float], None]] = {paint.__name__.removeprefix("_"): paint for paint in (
    _network, _atypical_network, _fine_rim, _globules, _streaks, _strawberry, _nests, _lacunae, _veil, _scar, _sheen,
    _vessels, _comedones, _milia, _scale,
)}  # fmt: skip
"""Every structure by name, in the order in which they are painted: the deepest first."""
