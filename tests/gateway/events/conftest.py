"""Both databases, for real, and a writer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.events.database import open_engine, sqlite_url
from gateway.events.writer import Writer
from gateway.metrics import Metrics
from tests.postgresql import PostgreSQL, serving


@pytest.fixture(scope="package")
def postgresql() -> Iterator[PostgreSQL]:
    with serving() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgreSQL = request.getfixturevalue("postgresql")
    engine = open_engine(server.url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return server.url


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def writer(address: str, metrics: Metrics) -> Iterator[Writer]:
    writer = Writer(address, 365, metrics)
    yield writer
    writer.close(5)
