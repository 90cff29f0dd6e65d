"""A study to train in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.networks import save_network, share_graphs
from tests.train.commands import ENTRIES
from zoo.build import prepare
from zoo.study import Folders, settle


@pytest.fixture
def folders(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    """A study with its recipes, on a network that timm made for tests."""
    settings = {
        "data": str(tiny),
        "scale": "demo",
        "arch": "test_efficientnet",
        "weights": str(save_network("test_efficientnet", tmp_path / "w.safetensors")),
    }
    folders, study = settle(settings, "mine", tmp_path)
    prepare.write(folders, study, ENTRIES, prepare.resolve_recipes(study, prepare.make_data(folders, study), ENTRIES))
    share_graphs(folders)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # what training sets in this process
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    yield folders
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
