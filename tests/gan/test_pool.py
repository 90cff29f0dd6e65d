"""The pool: the same files after an interruption, and no damaged file is taken for an intact one."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gan import canvas, pool
from gan.networks import Generator
from gan.snapshot import tensors
from lesions.labels import CLASSES
from zoo.study import Folders, StudyError


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*.*"))
    }


@pytest.fixture
def trained(folders: Folders) -> Folders:
    """As if `plain` were trained."""
    torch.manual_seed(1)
    save_file(tensors(Generator(32, 2, spectral_norm=False)), folders.run("plain") / "weights.safetensors")
    return folders


def test_a_pool_has_the_files_of_its_manifest(trained: Folders) -> None:
    pool.make(trained, "plain")
    folder = trained.run("plain") / "pool"
    manifest = pool.read(folder / "manifest.json")
    assert manifest is not None
    assert manifest.counts == dict.fromkeys(CLASSES, 5)
    weights = (trained.run("plain") / "weights.safetensors").read_bytes()
    assert manifest.weights_sha256 == hashlib.sha256(weights).hexdigest()
    files = digests(folder)
    expected = {f"{label}/{label}_{index:06}.png" for label in CLASSES for index in range(5)}
    assert files.keys() == expected | {"manifest.json"}
    assert len(set(files.values())) == len(files), "no two images are the same"


def test_an_interrupted_or_damaged_pool_is_completed_with_the_same_files(
    trained: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.make(trained, "plain")
    folder = trained.run("plain") / "pool"
    complete = digests(folder)

    # As after a power failure: a file is missing, others are cut short, and there is no manifest yet.
    (folder / "manifest.json").rename(folder / "begun.json")
    (folder / "df" / "df_000003.png").unlink()
    damaged = folder / "mel" / "mel_000001.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    (folder / "mel" / "mel_000002.png").write_bytes(b"")
    zeroed = folder / "vasc" / "vasc_000004.png"
    zeroed.write_bytes(zeroed.read_bytes()[:200] + bytes(300) + zeroed.read_bytes()[500:])
    pool.make(trained, "plain")
    assert digests(folder) == complete

    # As after a hand that moved a file, in a pool that is complete.
    times = {file.name: file.stat().st_mtime_ns for file in folder.rglob("*.png")}
    (folder / "df" / "df_000004.png").unlink()
    (folder / "nv" / "copy.png").write_bytes(damaged.read_bytes())
    pool.make(trained, "plain")
    changed = {file.name for file in folder.rglob("*.png") if times.get(file.name) != file.stat().st_mtime_ns}
    assert changed == {"df_000004.png"}, "no other image is drawn again"
    assert digests(folder) == complete

    # The disk is full half-way.
    for file in folder.rglob("*.*"):
        file.unlink()
    write, written = canvas.write_png, 0

    def write_until_full(file: Path, picture: object) -> None:
        nonlocal written
        written += 1
        if written > 12:
            raise OSError(28, "No space left on device")
        write(file, picture)  # type: ignore[arg-type]

    monkeypatch.setattr(canvas, "write_png", write_until_full)
    with pytest.raises(OSError, match="No space left"):
        pool.make(trained, "plain")
    assert not (folder / "manifest.json").exists()
    written = -1000
    pool.make(trained, "plain")
    assert written == -1000 + 35 - 10, "chunks of 4 and 1: intact images were not drawn again"
    assert digests(folder) == complete


def test_other_weights_make_another_pool(trained: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    pool.make(trained, "plain")
    folder = trained.run("plain") / "pool"
    first = digests(folder)
    capsys.readouterr()
    pool.make(trained, "plain")
    assert "the pool is drawn already" in capsys.readouterr().out
    torch.manual_seed(2)
    save_file(tensors(Generator(32, 2, spectral_norm=False)), trained.run("plain") / "weights.safetensors")
    pool.make(trained, "plain")
    second = digests(folder)
    assert second.keys() == first.keys()
    assert all(second[name] != first[name] for name in first)
    assert json.loads((folder / "manifest.json").read_text())["generator"] == "plain"


def test_an_untrained_generator_has_no_pool(folders: Folders) -> None:
    with pytest.raises(StudyError, match="not trained yet"):
        pool.make(folders, "everything")
