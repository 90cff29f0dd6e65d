"""The pool: images that a trained generator drew, class by class, for classifiers to train on."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from gan import canvas, trained
from gan.drawing import CHUNK, draw
from gan.networks import Generator
from lesions import store
from lesions.files import atomic_write
from lesions.labels import CLASSES
from lesions.sources.folders import ClassFolders
from zoo import generator_recipe
from zoo.study import Folders, StudyError


class Manifest(BaseModel):
    """What a pool is of. Written last: where it is, the pool is whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str
    weights_sha256: str
    recipe_sha256: str
    seed: int
    pixels: int
    counts: dict[str, int]
    """Images of each class: files `mel/mel_000000.png` and so on, each numbered by its index in `seed`."""


def make(folders: Folders, name: str) -> None:
    """Draw the pool of generator `name` into `runs/<study>/<name>/pool`, or go on with it; decode it for classifiers.

    Raises `StudyError` where the generator is not trained. A full disk is an `OSError`; running it again goes on.
    """
    run = folders.run(name)
    weights, pool = run / "weights.safetensors", run / "pool"
    if not weights.is_file():
        raise StudyError(f"{name} is not trained yet: there is no {weights}")
    resolved = generator_recipe.read(run / "recipe.json")
    wanted = Manifest(
        generator=name,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        recipe_sha256=resolved.sha256,
        seed=resolved.seed,
        pixels=resolved.pixels,
        counts=resolved.pool,
    )
    begun, manifest = pool / "begun.json", pool / "manifest.json"
    if read(manifest) == wanted and _complete(pool, wanted):
        _decode(folders, name, wanted)
        print(f"{name}: the pool is drawn already")
        os.utime(manifest)
        return
    manifest.unlink(missing_ok=True)
    pool.mkdir(parents=True, exist_ok=True)
    if read(begun) != wanted:  # images of other weights do not count
        _empty(pool)
        _write(begun, wanted)
    torch.set_num_threads(resolved.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    generator = trained.load_generator(run, resolved.pixels, resolved.width)
    generator.to("cuda" if torch.cuda.is_available() else "cpu")
    bar_wanted = sys.stderr.isatty() and "--jobserver" not in os.environ.get("MAKEFLAGS", "")
    total = sum(resolved.pool.values())
    bar: tqdm[Any]
    with tqdm(total=total, desc=f"{name} pool", unit="image", disable=not bar_wanted) as bar:
        for label, count in enumerate(wanted.counts.values()):
            _draw_class(generator, pool / CLASSES[label], label, count, wanted, bar)
    _decode(folders, name, wanted)
    _write(manifest, wanted)
    begun.unlink()
    print(f"{name}: a pool of {total:,} images", file=sys.stderr)


def read(file: Path) -> Manifest | None:
    """The manifest in `file`; none if it is not there or not whole."""
    try:
        return Manifest.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def file_of(pool: Path, label: str, index: int) -> Path:
    """Where image `index` of class `label` lies."""
    return pool / label / f"{label}_{index:06}.png"


def _draw_class(generator: Generator, folder: Path, label: int, count: int, wanted: Manifest, bar: "tqdm[Any]") -> None:
    """Every image of a class that is missing or damaged."""
    folder.mkdir(exist_ok=True)
    for first in range(0, count, CHUNK):
        indices = range(first, min(first + CHUNK, count))
        files = [file_of(folder.parent, CLASSES[label], index) for index in indices]
        bar.update(len(files))
        if all(_whole(file, wanted.pixels) for file in files):
            continue
        (images,) = draw(generator, torch.full((len(files),), label), wanted.seed, first)
        for file, image in zip(files, images, strict=True):
            canvas.write(file, image.numpy())


def _whole(file: Path, pixels: int) -> bool:
    """Whether `file` is a whole PNG of the right size: a computer that lost power may leave less than a killed run."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            fits = image.size == (pixels, pixels) and image.mode == "RGB"
            image.verify()  # every checksum to the end; load() would forgive a missing end
            return fits
    except (OSError, UnidentifiedImageError, SyntaxError):
        return False


def _complete(pool: Path, wanted: Manifest) -> bool:
    """Whether every file is there (its content was whole when the manifest was written)."""
    return all(
        {file.name for file in (pool / label).glob("*.png")}
        == {file_of(pool, label, index).name for index in range(count)}
        for label, count in wanted.counts.items()
    )


def _empty(pool: Path) -> None:
    """Delete the images of another generator, and nothing that is none of ours."""
    for label in CLASSES:
        for file in [*(pool / label).glob("*.png"), *(pool / label).glob("*.png.part")]:
            file.unlink()


def _write(file: Path, manifest: Manifest) -> None:
    atomic_write(file, json.dumps(manifest.model_dump(), indent=1) + "\n")


def _decode(folders: Folders, name: str, wanted: Manifest) -> None:
    """Decode the pool at the classifiers' size, as `train` reads it."""
    study, pool = folders.read(), folders.run(name) / "pool"
    folder, stamp = folders.pool(name, study), {"code": store.CODE} | wanted.model_dump()
    if not store.is_fresh(folder, stamp):
        store.decode_all(ClassFolders(pool), f"{name}'s pool", folder, study.pixels, stamp)
