"""The server that the tests of its calls ask."""

from pathlib import Path

import pytest

from tests.zoo.serving.rest.calls import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)
