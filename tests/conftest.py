"""What many tests share: a phantom small enough to draw in a second, and a session for calls."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, settings
from PIL import Image

from lesions.labels import CLASSES

# Shared machines are slow at times, and that is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

RAY_ALWAYS = ("tests/zoo/serving/ray/",)
"""Tests that run on Ray where nobody asks for it. The others, of every runtime's contract, take many minutes more."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what runs on Ray, and leave most of it out unless the mark or tests/faults is named (`make test-ray`)."""
    named = [*config.invocation_params.args, config.option.markexpr]
    wanted = any("ray" in str(text) or "faults" in str(text) for text in named)
    left_out = []
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(isinstance(value, str) and value == "ray" for value in parameters):
            item.add_marker(pytest.mark.ray)
        if item.get_closest_marker("ray"):
            if find_spec("ray") is None:
                item.add_marker(pytest.mark.skip(reason="Ray is not installed: pip install 'ray[serve]'"))
            if not wanted and not item.nodeid.startswith(RAY_ALWAYS):
                left_out.append(item)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """For calls by schemathesis: connections are kept, and no proxy of the environment's is asked."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


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
