"""Before anything is trained: settle the study, make its data, and write each entry's recipe where it changed.

make compares the times of these files, so they are rewritten only when their content changes. Imports no torch: a
second `make zoo` has to find out quickly that there is nothing to do.
"""

import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lesions import phantom, split, store
from lesions.files import file_lock, write_if_changed
from lesions.labels import CLASSES
from zoo import generator_recipe, recipe
from zoo.entry import Classifier, Entry, EntryError, Generator
from zoo.packaging.archive import MODELS
from zoo.study import Folders, Study, StudyError


def check(catalog: Mapping[str, Entry], wanted: Collection[str]) -> None:
    """Raise `EntryError` for an entry that is `wanted` and not in the catalog: before the data are made."""
    if unknown := [name for name in wanted if name not in catalog]:
        raise EntryError(f"no entry {', '.join(unknown)}; there are: {', '.join(sorted(catalog))}")


def data(folders: Folders, study: Study) -> recipe.Data:
    """Draw or find the data, decode and split it. Raises `DataError` for data that cannot be used."""
    source, folder = folders.source(study), folders.store(study)
    if study.data == "phantom":
        with file_lock(source):
            if not source.is_dir():
                phantom.draw(source)
    store.prepare(source, folder, study.pixels)
    known = folders.described
    with suppress(OSError, recipe.RecipeError):  # it is not there, or damaged
        described = recipe.read_data(known)
        if described.store_sha256 == store.digest(folder) and described.split_sha256 == split.digest(folders.split):
            return described
    loaded = store.load(folder)
    parts = split.split(loaded.index, study.split)
    mean, std = store.channel_statistics(loaded.images[parts == 0])
    folders.runs.mkdir(parents=True, exist_ok=True)
    counts = {
        part: np.bincount(loaded.index.labels[parts == number], minlength=len(CLASSES)).tolist()
        for number, part in enumerate(split.PART_NAMES)
        if number in parts  # most splits leave nothing out
    }
    described = recipe.Data(
        store_sha256=loaded.digest,
        split_sha256=split.write(folders.split, loaded.index, parts),
        counts=counts,
        mean=mean,
        std=std,
    )
    write_if_changed(known, described.model_dump_json(indent=1) + "\n")
    return described


class Made(NamedTuple):
    """The recipes of a study, by name: parents before their children."""

    classifiers: dict[str, recipe.Recipe]
    generators: dict[str, generator_recipe.GeneratorRecipe]


def recipes(study: Study, described: recipe.Data, catalog: Mapping[str, Entry], wanted: Collection[str] = ()) -> Made:
    """The recipe of every entry that is `wanted` (all, if empty), and of its parent and generator.

    Raises `RecipeError` for an entry that cannot be at this scale, and `StudyError` where WEIGHTS is gone.
    """
    names = _with_what_they_need(catalog, wanted)
    start = _start(study)
    made = Made({}, {})
    for name, entry in catalog.items():
        if name not in names:
            continue
        if isinstance(entry, Generator):
            made.generators[name] = generator_recipe.resolve(name, entry, study, described, start)
            continue
        parent = None if entry.parent is None else made.classifiers[entry.parent]
        pool = None
        if entry.generator is not None:
            drawn = made.generators[entry.generator]
            pool = recipe.Pool(drawn.sha256, list(drawn.pool.values()))
        made.classifiers[name] = recipe.resolve(name, entry, study, described, start, parent, pool)
    return made


def write(folders: Folders, study: Study, catalog: Mapping[str, Entry], made: Made) -> None:
    """Write what `make` goes by: recipes, what entries are about, the source's recipe, rules; the study's settings.

    An archive whose entry is no longer in the catalog is deleted: it would be served for ever.
    """
    for name, resolved in (made.classifiers | made.generators).items():
        entry, run = catalog[name], folders.run(name)
        write_if_changed(run / "recipe.json", resolved.text)
        about = {"about": entry.about, "thesis": entry.thesis and entry.thesis.model_dump()}
        write_if_changed(run / "about.json", json.dumps(about, indent=1) + "\n")
    source = {"arch": study.arch, "seed": study.generator_seed, "threads": study.threads, "start": _start(study)}
    write_if_changed(folders.run("source") / "recipe.json", json.dumps(source, indent=1) + "\n")
    write_if_changed(folders.runs / "entries.mk", _rules(folders, study, made))
    write_if_changed(folders.runs / "study.json", study.model_dump_json(indent=1) + "\n")
    for archive in folders.archives.glob("*.mar"):
        if archive.stem not in catalog:
            print(f"deleted {archive}: there is no such entry any more", file=sys.stderr)
            archive.unlink()


def _with_what_they_need(catalog: Mapping[str, Entry], wanted: Collection[str]) -> set[str]:
    """The `wanted` entries (all, if empty), with their parents and generators."""
    names = set(wanted or catalog)
    for name in reversed(list(catalog)):  # children before parents
        entry = catalog[name]
        if name in names and isinstance(entry, Classifier):
            names |= {needed for needed in (entry.parent, entry.generator) if needed is not None}
    return names


def _start(study: Study) -> str:
    """What the pretrained weights are, in words that change when the weights do."""
    if study.weights == "imagenet":
        return "imagenet"
    if study.weights == "procedural":
        return f"procedural: {recipe.SOURCE_IMAGES} images of {recipe.SOURCE_PIXELS} px"
    file = Path(study.weights)
    try:
        return f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
    except OSError as error:
        raise StudyError(f"WEIGHTS={file}: {error.strerror}") from None


def _rules(folders: Folders, study: Study, made: Made) -> str:
    """What make has to know: the entries, and what each is made from beside its recipe."""

    def place(name: str) -> tuple[bool, int]:
        """What waits for a generator is the longest way, so make begins with it; then the longest trainings."""
        resolved = made.classifiers[name]
        return resolved.generator is None, -sum(resolved.draws)

    lines = [
        f"CLASSIFIERS := {' '.join(sorted(made.classifiers, key=place))}",
        f"GENERATORS := {' '.join(made.generators)}",
    ]
    lines += [f"MODULES_OF_{kind} := {' '.join((model.handler, *model.modules))}" for kind, model in MODELS.items()]
    source = f"{folders.run('source')}/weights.safetensors"
    # A generator is measured by the pretrained backbone's features.
    needs = {name: [source] for name in made.generators}
    for name, resolved in made.classifiers.items():
        begins = [f"{folders.run(resolved.start.removeprefix('parent '))}/weights.safetensors"]
        needs[name] = begins if resolved.parent_sha256 else [source] if resolved.start != "random" else []
        if resolved.generator is not None:
            needs[name].append(f"{folders.run(resolved.generator)}/pool/manifest.json")
    if any(source in files for files in needs.values()) and study.weights != "procedural":
        lines.append(f"FIRST := {source}")  # a hub or a file may fail: better before hours of training
    lines += [f"{folders.run(name)}/weights.safetensors: {' '.join(files)}" for name, files in needs.items() if files]
    return "\n".join(lines) + "\n"
