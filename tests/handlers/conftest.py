"""A classifier's handler that is loaded once, and a real server of each runtime for the tests of one module."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.lesion_classifier import LesionClassifier
from tests.handlers.mock_context import context_of, model_dir
from tests.handlers.real_server import Served, serving
from tests.servers import SERVED_BY


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_dir(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="package")
def handler(folder: Path) -> LesionClassifier:
    handler = LesionClassifier()
    handler.initialize(context_of(folder))
    return handler


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server"), request.param) as served:
        yield served


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """An RGB picture, square, that differs from its mirror images and rotations, with few colors."""
    coarse = np.random.default_rng(3).choice(np.array([0, 90, 170, 255], np.uint8), (12, 12, 3))
    return coarse.repeat(10, axis=0).repeat(10, axis=1)
