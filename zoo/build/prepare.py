"""Before anything is trained: settle the study, make its data, and write each entry's recipe where it changed.

make compares file times, so a file is rewritten only when its content changes. Imports no torch: a second `make zoo`
must find out quickly that there is nothing to do.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from lesions import phantom, split, store
from lesions.files import sha256, write_if_changed
from lesions.labels import CLASSES
from zoo.entry import EntryError
from zoo.kinds import Entry, Recipe, kind_of
from zoo.kinds.base import SOURCE, Context, Data, Pretrained, RecipeError, read_json, source_network
from zoo.packaging.archive import module_files
from zoo.study import ROOT, Folders, Study, StudyError


def check_names(catalog: Mapping[str, Entry], names: Collection[str]) -> None:
    """Raise `EntryError` for a name that is not in the catalog, before the data are made."""
    if unknown := [name for name in names if name not in catalog]:
        raise EntryError(f"no entry {', '.join(unknown)}; there are: {', '.join(sorted(catalog))}")


def make_data(folders: Folders, study: Study) -> Data:
    """Draw or find the data, decode and split them. Raises `DataError` for data that cannot be used."""
    source, folder = folders.source(study), folders.store(study)
    if study.data == "phantom":
        phantom.draw_once(source)
    store.prepare(source, folder, study.pixels, study.scc)
    with suppress(OSError, RecipeError):  # it is not there, or damaged
        data = read_json(Data, folders.data)
        if data.store_sha256 == store.digest(folder) and data.split_sha256 == split.digest(folders.split):
            return data
    loaded = store.load(folder)
    parts = split.split(loaded.index, study.split)
    mean, std = store.channel_statistics(loaded.images[parts == 0])
    folders.runs.mkdir(parents=True, exist_ok=True)
    data = Data(
        store_sha256=loaded.digest,
        split_sha256=split.write(folders.split, loaded.index, parts),
        counts={
            part: np.bincount(loaded.index.labels[parts == number], minlength=len(CLASSES)).tolist()
            for number, part in enumerate(split.PART_NAMES)
            if number in parts  # most splits leave nothing out
        },
        mean=mean,
        std=std,
    )
    write_if_changed(folders.data, data.model_dump_json(indent=1) + "\n")
    return data


def resolve_recipes(
    study: Study, data: Data, catalog: Mapping[str, Entry], names: Collection[str] = ()
) -> dict[str, Recipe]:
    """The recipes of the entries `names` (all, if empty) and of what they require, each after those that it requires.

    Raises `RecipeError` for an entry that is impossible at this scale, and `StudyError` where WEIGHTS is gone.
    """
    needed = set(names or catalog)
    for name in reversed(list(catalog)):  # children before parents
        if name in needed:
            needed |= {required for required, _ in catalog[name].requires.values()}
    recipes: dict[str, Recipe] = {}
    context = Context(study, data, _pretrained(study), recipes)
    for name, entry in catalog.items():
        if name in needed:
            recipes[name] = kind_of(entry).resolve(name, entry, context)
    return recipes


def resolve_possible(study: Study, data: Data, catalog: Mapping[str, Entry]) -> dict[str, Recipe]:
    """As `resolve_recipes`, without entries that are impossible here, and those that require them."""
    recipes: dict[str, Recipe] = {}
    context = Context(study, data, _pretrained(study), recipes)
    for name, entry in catalog.items():
        if all(required in recipes for required, _ in entry.requires.values()):
            with suppress(RecipeError):
                recipes[name] = kind_of(entry).resolve(name, entry, context)
    return recipes


def write(folders: Folders, study: Study, catalog: Mapping[str, Entry], recipes: Mapping[str, Recipe]) -> None:
    """Write what make goes by: recipes, what entries are about, the sources' recipes, rules; the study's settings."""
    for name, recipe in recipes.items():
        entry, run = catalog[name], folders.run(name)
        write_if_changed(run / "recipe.json", recipe.text)
        about = {"kind": entry.kind, "about": entry.about, "thesis": entry.thesis and entry.thesis.model_dump()}
        write_if_changed(run / "about.json", json.dumps(about, indent=1) + "\n")
    for source_run in {SOURCE} | set(_sources(recipes)):
        own = source_network(source_run)
        source = {"arch": own or study.arch, "start": "imagenet" if own else str(_pretrained(study))}
        write_if_changed(folders.run(source_run) / "recipe.json", json.dumps(source, indent=1) + "\n")
    write_if_changed(folders.runs / "entries.mk", _rules(recipes))
    write_if_changed(folders.runs / "study.json", study.model_dump_json(indent=1) + "\n")


def remove_orphans(folders: Folders, catalog: Mapping[str, Entry]) -> list[str]:
    """Delete archives whose entry is no longer in the catalog, since they would be served. Returns messages."""
    orphans = [archive for archive in sorted(folders.archives.glob("*.mar")) if archive.stem not in catalog]
    for archive in orphans:
        archive.unlink()
    return [f"deleted {archive}: there is no such entry any more" for archive in orphans]


def _pretrained(study: Study) -> Pretrained:
    if study.weights == "imagenet":
        return Pretrained("imagenet")
    file = ROOT / study.weights
    try:
        return Pretrained(file.name, sha256(file))
    except OSError as error:
        raise StudyError(f"WEIGHTS={file}: {error.strerror}") from None


def _needs(recipes: Mapping[str, Recipe]) -> dict[str, list[str]]:
    """The files below the study's runs that each entry waits for."""
    return {name: kind_of(recipe).needs(recipe) for name, recipe in recipes.items()}


def _sources(recipes: Mapping[str, Recipe]) -> list[str]:
    """The runs of pretrained weights that these entries need."""
    runs = {Path(file).parts[0] for files in _needs(recipes).values() for file in files}
    return sorted(run for run in runs if run not in recipes)


def _rules(recipes: Mapping[str, Recipe]) -> str:
    """What make must know: the entries, who trains each, and what each is made from beside its recipe."""
    kinds = {name: kind_of(recipe) for name, recipe in recipes.items()}
    needs, sources = _needs(recipes), _sources(recipes)

    def start_early(name: str) -> tuple[bool, int]:
        """Make starts with what waits for a pool, the longest way, then with the longest trainings."""
        waits = any(file.endswith("manifest.json") for file in needs[name])
        return not waits, -recipes[name].training_images

    pools = [name for name in recipes if kinds[name].draws_pool]
    entries = [*sorted((name for name in recipes if name not in pools), key=start_early), *pools]
    # Sources come first: a hub or a file may fail, better before hours of training.
    lines = [f"ENTRIES_MADE := {' '.join(entries)}", f"POOLS := {' '.join(pools)}", f"SOURCES := {' '.join(sources)}"]
    for name in entries:
        weights, modules = f"$(RUNS)/{name}/weights.safetensors", " ".join(module_files(kinds[name]))
        lines += [f"{weights}: TRAINER := {kinds[name].trainer}", f"$(ARCHIVES)/{name}.mar: {modules}"]
        if needs[name]:
            lines.append(f"{weights}: {' '.join(f'$(RUNS)/{file}' for file in needs[name])}")
    return "\n".join(lines) + "\n"
