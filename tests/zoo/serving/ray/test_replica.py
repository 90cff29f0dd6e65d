"""A replica that cannot open its archive: what is wrong with the archive it says, all else Ray tries again."""

import asyncio
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

pytest.importorskip("ray")

from tests.faults.small_zoo import made
from tests.servers import pack
from zoo.serving.ray import replica
from zoo.serving.ray.archives import Archive
from zoo.serving.ray.replica import Replica

ARCHIVE = Archive("/nowhere", "x.mar", "0" * 64)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    pack(*made("generator", folder / "made"), folder / "sagan.mar")
    return folder / "sagan.mar"


@pytest.fixture(autouse=True)
def fetched(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "fetch", lambda _: whole)


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("where", "what", "error", "raised"),
    [
        (tempfile, "TemporaryDirectory", OSError(28, "No space left on device"), OSError),
        (onnxruntime, "InferenceSession", RuntimeError("std::bad_alloc"), MemoryError),
        (replica, "open_service", ModuleNotFoundError("No module named 'onnxruntime'"), ImportError),
    ],
)
def test_what_may_not_happen_elsewhere_is_tried_again(
    where: Any, what: str, error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Replica(ARCHIVE, 1, False).problem == ""
    monkeypatch.setattr(where, what, failing(error))
    with pytest.raises(raised):
        Replica(ARCHIVE, 1, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "nobody"}, "KeyError: 'nobody'"),
        ({"pixels": ...}, "pixels"),
        ({"model_sha256": "0" * 64}, "entry.json says 000000000000..."),
    ],
)
def test_a_bad_archive_is_bad_everywhere(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    with zipfile.ZipFile(whole) as opened, zipfile.ZipFile(tmp_path / "x.mar", "w") as changed:
        for name in opened.namelist():
            content = opened.read(name)
            if name == "entry.json":
                entry = json.loads(content) | change
                content = json.dumps({key: value for key, value in entry.items() if value is not ...}).encode()
            changed.writestr(name, content)
    monkeypatch.setattr(replica, "fetch", lambda _: tmp_path / "x.mar")
    described, problem = asyncio.run(Replica(ARCHIVE, 1, False).describe())
    assert described == {}
    assert reason in problem
