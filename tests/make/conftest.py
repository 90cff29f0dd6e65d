"""A checkout in which make may build."""

from pathlib import Path

import pytest

from tests.make.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path, tiny: Path) -> Checkout:
    folder = tmp_path / "a checkout"  # with a blank, as people have them
    folder.mkdir()
    return Checkout(folder, tiny)
