"""Damaged files of a run: found without reading weights, and taken away so that make makes them again."""

import hashlib
import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from zoo.build import integrity
from zoo.kinds import Recipe
from zoo.kinds.classifier import ClassifierRecipe
from zoo.kinds.generator import GENERATOR, GeneratorRecipe
from zoo.models.weights import is_intact, origin_of
from zoo.study import Folders, Study

ORIGIN = {"recipe_sha256": "x", "start_sha256": ""}
WEIGHTS = save({"a": torch.ones(3), "b": torch.zeros(2, 2)}, {"origin": json.dumps(ORIGIN)})

MODEL = b"a model"
SCORES = json.dumps({"model_sha256": hashlib.sha256(MODEL).hexdigest()}).encode()
BESIDE = {
    "scores.json": SCORES,
    "training.json": b"{}",
    "predictions.csv": b"image,part\na,test\n",
    "model.onnx": MODEL,
}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A study with whole runs of a classifier and a generator, and a source."""
    made = Folders("mine", tmp_path)
    for name in ("source", "plain", "sagan"):
        made.run(name).mkdir(parents=True)
        (made.run(name) / "weights.safetensors").write_bytes(WEIGHTS)
        for file, content in BESIDE.items() if name != "source" else ():
            if name == "plain" or file in GENERATOR.files:
                (made.run(name) / file).write_bytes(content)
    return made


def drop(folders: Folders) -> set[str]:
    """The entries whose weights are removed by the check."""
    kinds: dict[str, Any] = {"plain": ClassifierRecipe, "never_trained": ClassifierRecipe, "sagan": GeneratorRecipe}
    recipes: dict[str, Recipe] = {name: recipe.model_construct() for name, recipe in kinds.items()}
    integrity.discard_damaged(folders, Study(), recipes)
    names = ("source", "plain", "sagan")
    return {name for name in names if not (folders.run(name) / "weights.safetensors").exists()}


def test_a_name_may_have_any_character(folders: Folders) -> None:
    table = 'image,part\n"a\u2028b\nc",test\nd\x85,test\n'
    (folders.run("plain") / "predictions.csv").write_text(table, encoding="utf-8")
    assert drop(folders) == set()


def test_what_is_whole_stays(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    assert drop(folders) == set()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["source", "plain", "sagan"])
@pytest.mark.parametrize("content", [b"", WEIGHTS[:4], WEIGHTS[:40], WEIGHTS[:-1], WEIGHTS + b"\0", b"\xff" * 99])
def test_weights_that_are_not_whole_go(
    name: str, content: bytes, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folders.run(name) / "weights.safetensors"
    file.write_bytes(content)
    assert origin_of(file) == {}
    assert drop(folders) == {name}
    assert capsys.readouterr().err == f"{file} is damaged: making it again\n"


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("content", [None, b"", b"\0" * 20, b'{"a": 1', b"image,part\na", b"image,part\na,te"])
def test_weights_go_with_what_belongs_to_them(
    name: str, content: bytes | None, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folders.run("plain") / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert drop(folders) == {"plain"}
    assert capsys.readouterr().err == f"{file} is {'gone' if content is None else 'damaged'}: making it again\n"


@given(st.binary(max_size=80) | st.tuples(st.integers(0, len(WEIGHTS)), st.binary(max_size=4)))
@settings(suppress_health_check=list(HealthCheck))
def test_what_it_calls_whole_can_be_opened(tmp_path: Path, change: bytes | tuple[int, bytes]) -> None:
    content = change
    if isinstance(change, tuple):
        content = WEIGHTS[: change[0]] + change[1]
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)  # type: ignore[arg-type]
    if origin_of(file):
        with safe_open(file, "pt") as opened:
            assert json.loads(opened.metadata()["origin"]) == ORIGIN
    is_intact(file)


@pytest.mark.parametrize("header", [b"[]", b"{}", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}', b'{"a"', b"[" * 99_999])
def test_headers_that_are_none(header: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    assert not is_intact(file)
    assert origin_of(file) == {}


def test_a_pool_whose_decoded_images_are_damaged_counts_as_begun(folders: Folders) -> None:
    pool, decoded = folders.run("sagan") / "pool", folders.pool("sagan", Study())
    pool.mkdir()
    (pool / "manifest.json").write_text('{"a": 1}')
    decoded.mkdir()
    (decoded / "store.json").write_text("{")
    assert drop(folders) == set()
    assert not (pool / "manifest.json").exists()
    assert (pool / "begun.json").read_text() == '{"a": 1}'


def test_what_another_clock_dates_later_than_now_becomes_the_oldest(folders: Folders) -> None:
    archive = folders.archives / "plain.mar"
    archive.parent.mkdir(parents=True)
    archive.touch()
    early, late = folders.run("source") / "weights.safetensors", folders.run("plain") / "weights.safetensors"
    now = time.time()
    pool = folders.run("sagan") / "pool" / "manifest.json"
    pool.parent.mkdir()
    pool.touch()
    for file, hours in ((early, -1), (late, 1), (archive, 1), (pool, 1)):
        os.utime(file, (now + 3600 * hours,) * 2)
    integrity.distrust_future(folders)
    assert [file.stat().st_mtime for file in (late, archive, pool)] == [0, 0, 0]
    assert early.stat().st_mtime == pytest.approx(now - 3600)
