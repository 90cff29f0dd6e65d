"""A generator that another study has trained by the same recipe is taken from there: it would end in the same bytes.

So a repeat over seeds (SEED=1), which trains classifiers anew on the same synthetic images, need not wait for them.
"""

import shutil
import sys
from collections.abc import Mapping

from lesions.whole import folder_aside
from zoo import damage
from zoo.generator_recipe import GeneratorRecipe
from zoo.study import Folders, Study

PASSING = shutil.ignore_patterns("*.part", "*.old", "*.lock")
"""What another process may be about to rename."""


def take(folders: Folders, study: Study, generators: Mapping[str, GeneratorRecipe]) -> None:
    """Copy those of the `generators`, and their pools, that are not trained here and are elsewhere.

    With procedural weights each seed has a source of its own, by whose features the best step is chosen: nothing is
    taken then.
    """
    if study.weights == "procedural":
        return
    for name, resolved in generators.items():
        run = folders.run(name)
        if damage.is_made(run, resolved.sha256, damage.GENERATOR):
            continue
        for other in sorted(folders.runs.parent.glob(f"*/{name}")):
            if other != run and damage.is_made(other, resolved.sha256, damage.GENERATOR):
                print(f"{name}: the same recipe was trained in {other}; taken from there", file=sys.stderr)
                with folder_aside(run) as aside:
                    shutil.copytree(other, aside, dirs_exist_ok=True, ignore=PASSING)
                break
