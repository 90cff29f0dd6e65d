"""A generator that another study has trained by the same recipe is copied: training it would give the same bytes.

So a repeat over seeds (SEED=1), which trains classifiers anew on the same synthetic images, need not wait for them. As
everywhere, code, libraries and machine are not in the recipe: after `make clean` all is trained anew.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from lesions.files import atomic_folder, atomic_write
from zoo.build import integrity
from zoo.kinds import Recipe, kind_of
from zoo.study import Folders

LEFT = ("last.ckpt", "logs")
"""What is not copied: of no use once there are weights."""


def copy_trained(folders: Folders, recipes: Mapping[str, Recipe]) -> None:
    """Copy the generators, with their pools, that are not trained in this study and are trained in another one.

    `training.json` says from where: the time in it was spent there. A full disk is an `OSError`, and nothing
    half-written is left.
    """
    for name, recipe in recipes.items():
        run = folders.run(name)
        if not kind_of(recipe).draws_pool or integrity.is_complete(run, recipe):
            continue
        others = [
            other
            for other in folders.runs.parent.glob(f"*/{name}")
            if other != run and integrity.is_complete(other, recipe)
            # A pool that is being drawn would change while it is copied.
            if not (other / "pool" / "begun.json").exists()
        ]
        if others:
            _copy(min(others, key=_without_pool), run)


def _without_pool(run: Path) -> tuple[bool, str]:
    return not (run / "pool" / "manifest.json").exists(), str(run)


def _copy(other: Path, run: Path) -> None:
    training = json.loads((other / "training.json").read_bytes())
    origin = training.get("taken_from", other.parent.name)
    print(f"{run.name}: trained by the same recipe in {other} ({training.get('commit')}); copying it", file=sys.stderr)
    with atomic_folder(run) as aside:
        for file in other.rglob("*"):
            inside = file.relative_to(other)
            if file.is_file() and inside.parts[0] not in LEFT and file.suffix not in (".part", ".lock"):
                (aside / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, aside / inside)
        atomic_write(aside / "training.json", json.dumps(training | {"taken_from": origin}, indent=1) + "\n")
