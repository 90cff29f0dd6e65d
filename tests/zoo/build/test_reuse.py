"""A generator of the same recipe in another study: taken where it would become the same, and only there."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from compare.records import recording
from compare.records.record import RecordError
from zoo.build import integrity, prepare, reuse
from zoo.entry import catalog
from zoo.kinds import Recipe
from zoo.study import Folders, Study, settle


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "test_efficientnet.safetensors"
    file.write_bytes(b"x")
    return file


def resolved(tiny: Path, weights: str, root: Path, **settings: str) -> tuple[Folders, Study, dict[str, Recipe]]:
    given = {"data": str(tiny), "scale": "demo", "weights": weights, **settings}
    folders, study = settle(given, None, root)
    return folders, study, prepare.resolve_recipes(study, prepare.make_data(folders, study), catalog(), ["gan_1"])


def train(folders: Folders, study: Study, made: dict[str, Recipe]) -> Path:
    """As a trained generator looks from outside, with its pool half drawn."""
    prepare.write(folders, study, catalog(), made)
    run, digest = folders.run("sagan"), made["sagan"].sha256
    (run / "training.json").write_text('{"commit": "abc"}')
    (run / "model.onnx").write_bytes(b"a model")
    (run / "logs").mkdir()
    (run / "logs" / "events.of.tensorboard").write_bytes(b"losses")
    model = hashlib.sha256(b"a model").hexdigest()
    (run / "scores.json").write_text(json.dumps({"recipe_sha256": digest, "model_sha256": model}))
    (run / "pool" / "mel").mkdir(parents=True)
    (run / "pool" / "mel" / "mel_000000.png").write_bytes(b"a picture")
    (run / "pool" / "mel" / "mel_000001.png.part").write_bytes(b"half a")
    origin = {"origin": json.dumps({"recipe_sha256": digest})}
    save_file({"x": np.zeros(3, np.float32)}, run / "weights.safetensors", origin)
    return run


def test_another_seed_takes_the_generator_as_it_is(
    tiny: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = train(*resolved(tiny, str(weights), tmp_path))
    folders, study, made = resolved(tiny, str(weights), tmp_path, seed="7")
    assert made["gan_1"].model_dump()["seed"] == 7
    run = folders.run("sagan")
    run.mkdir(parents=True)
    (run / "last.ckpt").write_bytes(b"of a training that was interrupted")
    reuse.copy_trained(folders, made)
    messages = capsys.readouterr().err
    assert messages == f"sagan: trained by the same recipe in {there} (abc); copying it\n"
    prepare.write(folders, study, catalog(), made)
    assert integrity.is_complete(run, made["sagan"])
    made_at, settled_at = ((run / name).stat().st_mtime_ns for name in ("weights.safetensors", "recipe.json"))
    assert made_at > settled_at, "make goes by it"
    assert [file.name for file in (run / "pool").rglob("*.*")] == ["mel_000000.png"]
    assert not (run / "logs").exists()
    assert not (run / "last.ckpt").exists(), "nothing of another training is left"
    before = (run / "weights.safetensors").stat().st_mtime_ns
    reuse.copy_trained(folders, made)
    assert (run / "weights.safetensors").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", [{"generator_seed": "7"}, {"threads": "2"}])
def test_another_recipe_is_not_taken(tiny: Path, weights: Path, tmp_path: Path, change: dict[str, str]) -> None:
    train(*resolved(tiny, str(weights), tmp_path))
    folders, _, made = resolved(tiny, str(weights), tmp_path, **change)
    reuse.copy_trained(folders, made)
    assert not folders.run("sagan").exists()


def test_a_half_trained_one_is_not_taken(tiny: Path, weights: Path, tmp_path: Path) -> None:
    there = train(*resolved(tiny, str(weights), tmp_path))
    (there / "scores.json").unlink()
    folders, _, made = resolved(tiny, str(weights), tmp_path, seed="7")
    reuse.copy_trained(folders, made)
    assert not folders.run("sagan").exists()


def test_every_seed_has_the_same_judge(tiny: Path, tmp_path: Path) -> None:
    train(*resolved(tiny, "imagenet", tmp_path))
    folders, study, made = resolved(tiny, "imagenet", tmp_path, seed="7")
    reuse.copy_trained(folders, made)
    assert integrity.is_complete(folders.run("sagan"), made["sagan"])
    prepare.write(folders, study, catalog(), made)
    sources = [file.read_text() for file in (tmp_path / "runs").glob("*/source/recipe.json")]
    assert len(sources) == 2
    assert len(set(sources)) == 1, "of the same weights"


def test_a_pool_that_is_being_drawn_is_left_alone(tiny: Path, weights: Path, tmp_path: Path) -> None:
    there = train(*resolved(tiny, str(weights), tmp_path))
    (there / "pool" / "begun.json").write_text("{}")
    folders, _, made = resolved(tiny, str(weights), tmp_path, seed="7")
    reuse.copy_trained(folders, made)
    assert not folders.run("sagan").exists()


def test_one_with_a_pool_is_preferred(tiny: Path, weights: Path, tmp_path: Path) -> None:
    for seed in ("123", "8"):
        there = train(*resolved(tiny, str(weights), tmp_path, seed=seed))
    (there / "pool" / "manifest.json").write_text("{}")
    folders, _, made = resolved(tiny, str(weights), tmp_path, seed="7")
    reuse.copy_trained(folders, made)
    assert (folders.run("sagan") / "pool" / "manifest.json").exists()


def test_a_full_disk_is_one_error_that_names_the_file(
    tiny: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(*resolved(tiny, str(weights), tmp_path))
    folders, _, made = resolved(tiny, str(weights), tmp_path, seed="7")

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="No space left") as error:
        reuse.copy_trained(folders, made)
    assert "sagan.part" in str(error.value.filename)
    assert not list(folders.runs.glob("sagan*"))


def test_what_was_taken_is_recorded_where_it_was_trained(tiny: Path, weights: Path, tmp_path: Path) -> None:
    first, *_ = trained = resolved(tiny, str(weights), tmp_path)
    train(*trained)
    for seed in ("7", "8"):  # the second may be taken from the first or from what was taken
        folders, study, made = resolved(tiny, str(weights), tmp_path, seed=seed)
        reuse.copy_trained(folders, made)
        prepare.write(folders, study, catalog(), made)
        assert recording.finished(folders, catalog()) == []
        with pytest.raises(RecordError, match=f"was trained in the study {first.name}, and is recorded there"):
            recording.record(folders, "sagan", catalog()["sagan"])
