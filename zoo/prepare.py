"""Before anything is trained: settle the study, make its data, and write each entry's recipe where it changed.

make compares the times of these files, so they are rewritten only when their content changes. Imports no torch: a
second `make zoo` has to find out quickly that there is nothing to do.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lesions import split, store
from lesions.labels import CLASSES
from zoo import generator_recipe, recipe
from zoo.entry import Classifier, Entry, EntryError, Generator
from zoo.study import Folders, Study


def check(catalogue: Mapping[str, Entry], wanted: Collection[str]) -> None:
    """Raise `EntryError` for an entry that is `wanted` and not in the catalogue: before the data are made."""
    if unknown := [name for name in wanted if name not in catalogue]:
        raise EntryError(f"no entry {', '.join(unknown)}; there are: {', '.join(sorted(catalogue))}")


def data(folders: Folders, study: Study) -> recipe.Data:
    """Draw or find the data, decode and split it. Raises `DataError` for data that cannot be used."""
    source, folder = folders.source(study), folders.store(study)
    if study.data == "phantom" and not source.is_dir():
        from lesions import phantom  # scipy takes half a second, which only the first run has to spend

        phantom.draw(source)
    store.prepare(source, folder, study.pixels)
    known = folders.runs / "data.json"
    if known.is_file() and (folders.runs / "split.csv").is_file():
        described = recipe.Data.model_validate_json(known.read_text())
        if described.store_sha256 == store.digest(folder):
            return described
    loaded = store.load(folder)
    parts = split.split(loaded.index, study.split)
    mean, deviation = store.channel_statistics(loaded.images[parts == 0])
    folders.runs.mkdir(parents=True, exist_ok=True)
    counts = {
        part: np.bincount(loaded.index.labels[parts == number], minlength=len(CLASSES)).tolist()
        for number, part in enumerate(split.PARTS)
    }
    described = recipe.Data(
        store_sha256=loaded.digest,
        split_sha256=split.write(folders.runs / "split.csv", loaded.index, parts),
        counts=counts,
        mean=mean,
        deviation=deviation,
    )
    _write(known, described.model_dump_json(indent=1) + "\n")
    return described


class Made(NamedTuple):
    """The recipes of a study, by name: parents before their children."""

    classifiers: dict[str, recipe.Recipe]
    generators: dict[str, generator_recipe.GeneratorRecipe]


def recipes(
    folders: Folders, study: Study, described: recipe.Data, catalogue: Mapping[str, Entry], wanted: Collection[str]
) -> Made:
    """Write the recipe of every entry that is `wanted` (all, if empty), and of its parent and generator.

    Raises `RecipeError` for an entry that cannot be at this scale.
    """
    names = _with_what_they_need(catalogue, wanted)
    start = _start(study)
    made = Made({}, {})
    for name, entry in catalogue.items():
        if name not in names:
            continue
        if isinstance(entry, Generator):
            made.generators[name] = drawn = generator_recipe.resolve(name, entry, study, described, start)
            text = drawn.text
        else:
            parent = None if entry.parent is None else made.classifiers[entry.parent]
            pool = None
            if entry.generator is not None:
                drawn = made.generators[entry.generator]
                pool = recipe.Pool(drawn.sha256, list(drawn.pool.values()))
            made.classifiers[name] = recipe.resolve(name, entry, study, described, start, parent, pool)
            text = made.classifiers[name].text
        run = folders.run(name)
        _write(run / "recipe.json", text)
        about = {"about": entry.about, "thesis": entry.thesis and entry.thesis.model_dump()}
        _write(run / "about.json", json.dumps(about, indent=1) + "\n")
    source = {key: getattr(study, key) for key in ("arch", "seed", "threads", "scale")} | {"start": start}
    _write(folders.run("source") / "recipe.json", json.dumps(source, indent=1) + "\n")
    _write(folders.runs / "entries.mk", _rules(folders, study, made))
    _write(folders.runs / "study.json", study.model_dump_json(indent=1) + "\n")
    return made


def _with_what_they_need(catalogue: Mapping[str, Entry], wanted: Collection[str]) -> set[str]:
    """The `wanted` entries (all, if empty), with their parents and generators."""
    names = set(wanted or catalogue)
    for name in reversed(list(catalogue)):  # children before parents
        entry = catalogue[name]
        if name in names and isinstance(entry, Classifier):
            names |= {needed for needed in (entry.parent, entry.generator) if needed is not None}
    return names


def _start(study: Study) -> str:
    """What the pretrained weights are, in words that change when the weights do."""
    if study.weights in ("imagenet", "procedural"):
        return study.weights
    file = Path(study.weights)
    return f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _rules(folders: Folders, study: Study, made: Made) -> str:
    """What make has to know: the entries, and what each is made from beside its recipe."""
    longest_first = sorted(made.classifiers, key=lambda name: -sum(made.classifiers[name].draws))
    lines = [f"CLASSIFIERS := {' '.join(longest_first)}", f"GENERATORS := {' '.join(made.generators)}"]
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


def _write(file: Path, content: str) -> None:
    """Write `content` aside and move it there, unless it is there."""
    if file.is_file() and file.read_text(encoding="utf-8") == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(file.name + ".part")
    aside.write_text(content, encoding="utf-8")
    aside.replace(file)
