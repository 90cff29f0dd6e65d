"""The pool: images that a trained generator drew, class by class, for classifiers to train on."""

import os
import sys
from contextlib import closing
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, ValidationError

from gan import canvas, trained
from gan.drawing import draw
from gan.networks import Generator
from lesions import store
from lesions.files import atomic_write, sha256
from lesions.labels import CLASSES
from lesions.sources.folders import ClassFolders
from zoo.kinds.generator import GeneratorRecipe
from zoo.models.determinism import compute_deterministically
from zoo.models.sampler import CHUNK
from zoo.progress import ProgressBar
from zoo.study import Folders, StudyError


class Manifest(BaseModel):
    """The content and origin of a pool. Written last: a pool with a manifest is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str
    weights_sha256: str
    recipe_sha256: str
    seed: int
    pixels: int
    counts: dict[str, int]
    """Images of each class: files `mel/mel_000000.png` and so on, numbered by the index in `seed`."""


def make(folders: Folders, name: str) -> None:
    """Draw the pool of generator `name` into `runs/<study>/<name>/pool`, and decode it for classifiers.

    Continues an interrupted pool. Raises `StudyError` where the generator is not trained, `OSError` for a full disk.
    """
    run = folders.run(name)
    weights, pool = run / "weights.safetensors", run / "pool"
    if not weights.is_file():
        raise StudyError(f"{name} is not trained yet: there is no {weights}")
    recipe = GeneratorRecipe.read(run / "recipe.json")
    manifest = Manifest(
        generator=name,
        weights_sha256=sha256(weights),
        recipe_sha256=recipe.sha256,
        seed=recipe.seed,
        pixels=recipe.pixels,
        counts=recipe.pool,
    )
    content = manifest.model_dump_json(indent=1) + "\n"
    begun, complete = pool / "begun.json", pool / "manifest.json"
    if read(complete) == manifest and _present(pool, "*.png") == _files(pool, manifest):  # intact when it was written
        _decode(folders, name, manifest)
        print(f"{name}: the pool is drawn already")
        os.utime(complete)
        return
    pool.mkdir(parents=True, exist_ok=True)
    if read(complete) == manifest:  # files are missing, or too many
        complete.replace(begun)
    complete.unlink(missing_ok=True)
    kept = _files(pool, manifest) if read(begun) == manifest else set()  # images of other weights do not count
    for file in (_present(pool, "*.png") | _present(pool, "*.png.part")) - kept:  # and no file of another kind
        file.unlink()
    atomic_write(begun, content)
    compute_deterministically(recipe.threads)
    generator = trained.load_generator(run, recipe.pixels, recipe.width)
    generator.to("cuda" if torch.cuda.is_available() else "cpu")
    total = sum(manifest.counts.values())
    with closing(ProgressBar(f"{name} pool", "image", total)) as progress:
        for label in range(len(CLASSES)):
            _draw_class(generator, pool, label, manifest, progress)
    _decode(folders, name, manifest)
    atomic_write(complete, content)
    begun.unlink()
    print(f"{name}: a pool of {total:,} images", file=sys.stderr)


def read(file: Path) -> Manifest | None:
    """The manifest in `file`; none if `file` is missing or damaged."""
    try:
        return Manifest.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def image_file(pool: Path, label: str, index: int) -> Path:
    """The file of image `index` of class `label`."""
    return pool / label / f"{label}_{index:06}.png"


def _draw_class(generator: Generator, pool: Path, label: int, manifest: Manifest, progress: ProgressBar) -> None:
    """Draw every image of a class that is missing or damaged."""
    name, count = CLASSES[label], manifest.counts[CLASSES[label]]
    (pool / name).mkdir(exist_ok=True)
    for first in range(0, count, CHUNK):
        files = [image_file(pool, name, index) for index in range(first, min(first + CHUNK, count))]
        progress.update(len(files))
        if all(_is_intact(file, manifest.pixels) for file in files):
            continue
        (images,) = draw(generator, torch.full((len(files),), label), manifest.seed, first)
        for file, image in zip(files, images, strict=True):
            canvas.write_png(file, image.numpy())


def _is_intact(file: Path, pixels: int) -> bool:
    """Whether `file` is a whole PNG of the right size; after a loss of power it may be cut short or empty."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            fits = image.size == (pixels, pixels) and image.mode == "RGB"
            image.verify()  # every checksum to the end; load() would accept a missing end
            return fits
    except (OSError, UnidentifiedImageError, SyntaxError):
        return False


def _present(pool: Path, pattern: str) -> set[Path]:
    return {file for label in CLASSES for file in (pool / label).glob(pattern)}


def _files(pool: Path, manifest: Manifest) -> set[Path]:
    """The files of a complete pool."""
    return {image_file(pool, label, index) for label, count in manifest.counts.items() for index in range(count)}


def _decode(folders: Folders, name: str, manifest: Manifest) -> None:
    """Decode the pool at the classifiers' size, as `train` reads it."""
    study, pool = folders.read(), folders.run(name) / "pool"
    folder, stamp = folders.pool(name, study), {"code": store.CODE} | manifest.model_dump()
    if not store.is_fresh(folder, stamp):
        store.decode_all(ClassFolders(pool, suffix_in_names=False), f"{name}'s pool", folder, study.pixels, stamp)
