"""A gateway for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import Front


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    front = Front(tmp_path)
    yield front
    front.gateway.events.close(5)


@pytest.fixture
def client(front: Front) -> TestClient:
    """With a key for everything."""
    return front.client()
