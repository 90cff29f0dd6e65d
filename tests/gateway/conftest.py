"""A gateway for each test."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import Front


@pytest.fixture
def front(tmp_path: Path) -> Front:
    return Front(tmp_path)


@pytest.fixture
def client(front: Front) -> TestClient:
    """With a key for everything."""
    return front.client()
