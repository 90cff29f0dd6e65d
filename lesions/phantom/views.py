"""Photograph a painted phantom lesion: skin, hair, ruler, bubbles, light and camera. A photograph is a view.

Images are float32 [HEIGHT, WIDTH, 3], sRGB in 0..1, until `_light` turns them into 8 bits.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from lesions.phantom.canvas import HEIGHT, PATCH, RADIUS, WIDTH, Array, Color, noise, step, strokes
from lesions.phantom.patch import Traits

_ASPECT = HEIGHT / WIDTH
_VX, _VY = np.meshgrid(*(np.linspace(-side, side, n, dtype=np.float32) for side, n in ((1, WIDTH), (_ASPECT, HEIGHT))))


def view(traits: Traits, painted: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Photograph a painted lesion through a dermatoscope: an RGB image of WIDTH x HEIGHT pixels.

    The view has its own rotation, shift, magnification, light, hair, ruler, bubbles and dark corners.
    """
    zoom = traits.size * HEIGHT / 2 / RADIUS * rng.uniform(0.85, 1.2)
    turn, flip = rng.uniform(0, 2 * math.pi), rng.choice([-1.0, 1.0])
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    cx, cy = WIDTH / 2 + rng.normal(0, 12), HEIGHT / 2 + rng.normal(0, 9)
    a, b, d, e = flip * cos, flip * sin, -sin, cos
    matrix = (a, b, PATCH / 2 - a * cx - b * cy, d, e, PATCH / 2 - d * cx - e * cy)
    placed = painted.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    lesion = np.asarray(placed, np.float32) / 255

    image = _skin(traits.skin, rng)
    local = np.float32(0.5) / np.asarray(traits.skin, np.float32) * image + np.float32(0.5)
    image += lesion[..., 3:] * (lesion[..., :3] * local - image)  # the skin's mottling shows through
    if traits.hair:
        _hair(image, traits.hair, rng)
    if rng.random() < 0.12:
        _ruler(image, rng)
    if rng.random() < 0.15:
        _bubbles(image, rng)
    return _light(image, rng)


def _skin(tone: Color, rng: np.random.Generator) -> Array:
    """Bare skin [HEIGHT, WIDTH, 3] with mottling and fine furrows."""
    furrows = np.abs(noise(rng, 36, WIDTH, HEIGHT))
    grain = 1 + np.float32(0.025) * noise(rng, 5, WIDTH, HEIGHT) - np.float32(0.03) * step(furrows, 0.3, 0.0)
    blush = np.float32(0.012) * noise(rng, 6, WIDTH, HEIGHT)
    skin = grain[..., None] * np.asarray(tone, np.float32)
    skin[..., 1:] -= blush[..., None]
    return skin


def _hair(image: Array, amount: float, rng: np.random.Generator) -> None:
    """Draw curved hairs, in place."""
    lines: list[tuple[Array, float]] = []
    t = np.linspace(-1, 1, 14, dtype=np.float32)
    comb = rng.uniform(0, math.pi)
    for _ in range(round(2 + 18 * amount * rng.uniform(0.4, 1))):
        heading, bend, length = comb + rng.normal(0, 0.5), rng.normal(0, 25), rng.uniform(40, 170)
        along, across = length * t, bend * t * t
        x = rng.uniform(0, WIDTH) + math.cos(heading) * along - math.sin(heading) * across
        y = rng.uniform(0, HEIGHT) + math.sin(heading) * along + math.cos(heading) * across
        lines.append((np.stack([x, y], axis=1).astype(np.float32), rng.uniform(0.6, 1.6)))
    dark = np.asarray((0.17, 0.12, 0.11), np.float32)
    image += np.float32(rng.uniform(0.55, 0.9)) * strokes(lines, WIDTH, HEIGHT)[..., None] * (dark - image)


def _ruler(image: Array, rng: np.random.Generator) -> None:
    """Draw the ticks of a ruler at the top or bottom, in place."""
    y, inwards = (HEIGHT - 1.0, -1.0) if rng.random() < 0.5 else (0.0, 1.0)
    gap = rng.uniform(9, 16)
    ends = [(i * gap, y + inwards * (14 if i % 5 == 0 else 8)) for i in range(1, int(WIDTH / gap) + 1)]
    ticks = [(np.array([(x, y), (x, end)], np.float32), 1.0) for x, end in ends]
    image *= 1 - np.float32(0.75) * strokes(ticks, WIDTH, HEIGHT)[..., None]


def _bubbles(image: Array, rng: np.random.Generator) -> None:
    """Draw a few bubbles of the gel, in place: each has a bright rim on one side."""
    for _ in range(int(rng.integers(1, 6))):
        x, y, r = rng.uniform(-1, 1), rng.uniform(-0.75, 0.75), rng.uniform(0.02, 0.07)
        distance = np.hypot(_VX - np.float32(x), _VY - np.float32(y))
        rim = np.exp(-(((distance - np.float32(r)) / np.float32(0.010)) ** 2)) * step(_VX + _VY, x + y - r, x + y + r)
        image += np.float32(0.35) * rim[..., None]


def _light(image: Array, rng: np.random.Generator) -> Image.Image:
    """Apply uneven light, white balance, vignette, dark corners, sensor noise and focus; convert to 8 bits."""
    lean, distance = rng.normal(0, 0.05, 2).astype(np.float32), np.hypot(_VX, _VY)
    light = np.float32(rng.normal(1.0, 0.07)) * (1 + lean[0] * _VX + lean[1] * _VY)
    light = light * (1 - np.float32(rng.uniform(0.02, 0.22)) * distance**2)
    if rng.random() < 0.1:
        rim = rng.uniform(1.02, 1.15)
        light = light * step(distance, rim, rim - 0.08)
    balance = rng.normal(1.0, 0.02, 3).astype(np.float32)
    exposed = image * light[..., None] * balance
    exposed += np.float32(0.008) * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
    photograph = Image.fromarray((np.clip(exposed, 0, 1) * 255).astype(np.uint8))
    blur = rng.uniform(0, 0.9)
    return photograph.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.4 else photograph
