"""What a run records of the machines that it was trained on."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import torch

from zoo.build import provenance


def record(file: Path) -> dict[str, object]:
    return dict(json.loads(file.read_text()))


def test_a_training_that_goes_on_elsewhere_names_both_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "training.json"
    for processor in ("2 x Model A", "2 x Model A", "8 x Model B", "2 x Model A"):
        monkeypatch.setattr(provenance, "_processor", lambda name=processor: name)
        if not file.exists():
            provenance.begin(file)
        with provenance.timed(file):
            pass
    assert record(file)["hardware"] == "2 x Model A, then 8 x Model B"


def test_seconds_are_those_of_all_parts_also_of_one_that_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "training.json"
    provenance.begin(file)
    file.write_text(json.dumps(record(file) | {"seconds": 100.0}))
    with provenance.timed(file) as note:
        time.sleep(0.1)
        note()
        assert 100.1 <= float(str(record(file)["seconds"])) < 200
        time.sleep(0.1)
    assert 100.2 <= float(str(record(file)["seconds"])) < 200


def test_beside_a_gpu_stands_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(provenance, "_processor", lambda: "2 x Model A")
    provenance.begin(tmp_path / "training.json")
    assert record(tmp_path / "training.json")["hardware"] == "A GPU, 2 x Model A"


def test_a_processor_has_a_name() -> None:
    assert provenance._processor()


def test_a_copy_inside_another_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, copy = tmp_path / "outer", tmp_path / "outer" / "copy"
    copy.mkdir(parents=True)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], cwd=outer, check=True)
    monkeypatch.setattr(provenance, "ROOT", outer)
    assert len(provenance.commit() or "") == 40
    monkeypatch.setattr(provenance, "ROOT", copy)
    assert provenance.commit() is None
