"""Data that many tests share: a phantom small enough to draw in a second."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from lesions.labels import CLASSES

# Shared machines are slow at times, and that is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HAM10000's layout with 40 lesions a class of flat, noisy pictures: every fourth lesion has two images."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    images = folder / "HAM10000_images_part_1"
    images.mkdir(parents=True)
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        for lesion in range(40):
            for view in range(2 if lesion % 4 == 0 else 1):
                image = f"TINY_{label}{lesion:03}{view}"
                color = np.array([120 + 15 * label, 90, 200 - 15 * label])
                pixels = np.clip(random.normal(color, 25, (45, 60, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(images / f"{image}.jpg", quality=90)
                lines.append(f"TINY_{label}{lesion:03},{image},{name},histo,50,male,back")
    (folder / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
