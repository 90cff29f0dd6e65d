"""A study to train in."""

from pathlib import Path

import pytest

from tests.networks import save_network
from tests.train.commands import ENTRIES
from zoo.build import prepare
from zoo.study import Folders, settle


@pytest.fixture
def folders(tiny: Path, tmp_path: Path) -> Folders:
    """A study with its recipes, on a network that timm made for tests."""
    settings = {
        "data": str(tiny),
        "scale": "demo",
        "arch": "test_efficientnet",
        "weights": str(save_network("test_efficientnet", tmp_path / "w.safetensors")),
    }
    folders, study = settle(settings, "mine", tmp_path)
    prepare.write(folders, study, ENTRIES, prepare.resolve_recipes(study, prepare.make_data(folders, study), ENTRIES))
    return folders
