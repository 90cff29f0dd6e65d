"""Paint one phantom lesion, on a square RGBA patch in its own frame.

A lesion is painted once, and `lesions.phantom.views` photographs it, so several views show the same lesion.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lesions.phantom.canvas import PATCH, REACH, Canvas, Color, X, Y, noise, step
from lesions.phantom.structures import STRUCTURES


@dataclass(frozen=True)
class Traits:
    """The look of one lesion, the same in each view."""

    skin: Color  # around the lesion
    colors: Sequence[Color]  # of its pigments, the main one first
    size: float  # mean radius as a fraction of half the image's height, 0.2 to 1.2
    elongation: float  # long axis over short axis, at least 1
    irregularity: float  # how much the border differs from an ellipse, in radii, 0 to 0.5
    asymmetry: float  # how unevenly the pigments are spread, 0 to 1
    softness: float  # width of the border, in radii, 0.02 to 0.5
    opacity: float  # how much of the skin it hides, 0 to 1
    structures: Mapping[str, float]  # strength (0 to 1) of each structure that is present, by its name in `STRUCTURES`
    hair: float  # how hairy the skin is, 0 (no hair) to 1


def patch(traits: Traits, rng: np.random.Generator) -> Image.Image:
    """Paint a lesion in its own frame: an RGBA image of PATCH x PATCH pixels, transparent where there is skin.

    The lesion's mean radius is `RADIUS` pixels, whatever its size: a view magnifies it.
    """
    stretch = np.float32(math.sqrt(traits.elongation))
    x, y = X / stretch, Y * stretch
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
    canvas = Canvas(rng, traits.size, color, cover, depth, radius, angle)
    for other in traits.colors[1:]:
        lean = rng.uniform(0, 2 * math.pi)
        side = np.float32(math.cos(lean)) * x + np.float32(math.sin(lean)) * y
        ring = np.float32(rng.choice([-1, 1])) * (radius - np.float32(0.6))
        where = np.float32(1.3 * traits.asymmetry) * (side + np.float32(0.6) * noise(rng, 4))
        where += np.float32(1.2 * (1 - traits.asymmetry)) * ring + np.float32(0.12) * noise(rng, 18)
        canvas.tint(1, step(where, -0.3, rng.uniform(0.3, 1.0)), other)
    canvas.shade(1 + np.float32(0.06) * noise(rng, 8) + np.float32(0.04) * noise(rng, 40))
    for name, paint in STRUCTURES.items():
        if strength := traits.structures.get(name, 0.0):
            paint(canvas, strength)
    fade = step(np.maximum(np.abs(X), np.abs(Y)), REACH, 0.9 * REACH)  # no lesion may end in a straight line
    rgba = np.concatenate([canvas.color, (canvas.cover * fade)[..., None]], axis=2)
    return Image.fromarray((np.clip(rgba, 0, 1) * 255).astype(np.uint8))
