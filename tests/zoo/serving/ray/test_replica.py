"""A replica that cannot open its archive: what is wrong with the archive it says, all else Ray tries again."""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("ray")

from zoo.models.session import ModelError
from zoo.serving.ray import replica
from zoo.serving.ray.archives import Archive
from zoo.serving.ray.replica import Replica

ARCHIVE = Archive("/nowhere/x.mar", "x.mar", "0" * 64)


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "fetch", lambda _: Path("/nowhere/x.mar"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), ModuleNotFoundError("onnx")])
def test_what_may_be_otherwise_elsewhere_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(replica, "open_service", fail)
    with pytest.raises(type(error)):
        Replica(ARCHIVE, 1, False)


def test_a_bad_archive_is_bad_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise ModelError("x.mar is not an archive of the zoo")

    monkeypatch.setattr(replica, "open_service", fail)
    described = asyncio.run(Replica(ARCHIVE, 1, False).describe())
    assert described == ({}, "x.mar is not an archive of the zoo")
