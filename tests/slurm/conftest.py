"""Tests on a real Slurm run only where this folder is named, as `make test-slurm` does."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out, unless this folder or their mark is named."""
    if any("slurm" in str(argument) for argument in config.invocation_params.args):
        return
    left_out = [item for item in items if item.get_closest_marker("slurm")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two idle nodes."""
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()
