"""Pictures to serve, drawn: benchmarks need no data."""

import io

import numpy as np
from PIL import Image

from lesions.phantom.patch import Traits, patch
from lesions.phantom.views import view


def draw(seed: int) -> bytes:
    """A lesion of the phantom's, as large as HAM10000's pictures and with a camera's grain: a JPEG of some 200 kB."""
    rng = np.random.default_rng(seed)
    traits = Traits(
        skin=(0.8, 0.6, 0.55),
        colors=((0.48, 0.32, 0.26), (0.27, 0.19, 0.18)),
        size=0.6,
        elongation=1.2,
        irregularity=0.1,
        asymmetry=0.5,
        softness=0.2,
        opacity=0.8,
        structures={"network": 0.8},
        hair=0.5,
    )
    image = view(traits, patch(traits, rng), rng).resize((600, 450), Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(image) + rng.normal(0, 8, (450, 600, 3)), 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=98)
    return content.getvalue()
