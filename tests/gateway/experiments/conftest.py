"""A runtime whose versions may fail, and a client whose loop lives on."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import Front
from tests.gateway.experiments.live import Moody


@pytest.fixture
def moody(front: Front) -> Moody:
    front.runtime = front.gateway.backend = Moody()
    return front.runtime


@pytest.fixture
def open_client(front: Front) -> Iterator[TestClient]:
    """One whose event loop lives on between calls, as a server's does: what runs behind answers needs it."""
    with front.client(rate="100000/minute") as client:
        yield client
