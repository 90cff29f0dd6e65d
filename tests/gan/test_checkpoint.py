"""A checkpoint is continued if it is of the same recipe and version; every other one is deleted."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gan import checkpoint

NEW: dict[str, Any] = {"recipe_sha256": "x", "trainer": {"optimizers": [], "generator": {}}, "results": {}}


def test_a_state_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    state = NEW | {"trainer": {"optimizers": [{"step": 3}], "generator": {"weight": torch.ones(2)}}}
    checkpoint.save(file, state)
    loaded = checkpoint.load(file, NEW)
    assert loaded is not None
    assert loaded["trainer"]["optimizers"] == [{"step": 3}]
    assert torch.equal(loaded["trainer"]["generator"]["weight"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    "other",
    [
        NEW | {"recipe_sha256": "y"},
        {"recipe_sha256": "x", "game": NEW["trainer"], "done": 3},
        NEW | {"trainer": {"optimisers": [], "generator": {}}},
        NEW | {"trainer": 1},
        [1, 2],
        "x",
    ],
)
def test_another_recipe_or_version_is_deleted(tmp_path: Path, other: object) -> None:
    file = tmp_path / "last.ckpt"
    torch.save(other, file)
    assert checkpoint.load(file, NEW) is None
    assert not file.exists()


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_damaged_file_is_deleted(tmp_path: Path, length: int) -> None:
    file = tmp_path / "last.ckpt"
    checkpoint.save(file, NEW)
    file.write_bytes(file.read_bytes()[:length])
    assert checkpoint.load(file, NEW) is None
    assert not file.exists()


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "last.ckpt", NEW) is None
