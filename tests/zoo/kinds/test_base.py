"""What all kinds share: starts read back as they were, and a new option leaves the recipes that are without it."""

from pathlib import Path

import pytest
from pydantic import Field

from zoo.kinds.base import Context, Data, Parent, Pretrained, Random, Recipe, RecipeError, parse_start
from zoo.kinds.classifier import Classifier, ClassifierRecipe
from zoo.kinds.classifier import resolve as resolve_classifier
from zoo.kinds.generator import Generator, GeneratorRecipe
from zoo.kinds.generator import resolve as resolve_generator
from zoo.study import Study

DATA = Data(
    store_sha256="0" * 64, split_sha256="1" * 64, counts={"train": [100] * 7}, mean=[0.7, 0.5, 0.5], std=[0.1] * 3
)
CONTEXT = Context(Study(), DATA, Pretrained("w.safetensors", "2" * 64))


@pytest.mark.parametrize(
    ("start", "text", "run"),
    [
        (Random(), "random", None),
        (Pretrained("imagenet"), "imagenet", "source"),
        (Pretrained("w.safetensors", "2" * 64), f"w.safetensors sha256 {'2' * 64}", "source"),
        (Pretrained("parent", "2" * 64), f"parent sha256 {'2' * 64}", "source"),
        (Pretrained("random", "2" * 64), f"random sha256 {'2' * 64}", "source"),
        (Pretrained("parent transfer", "2" * 64), f"parent transfer sha256 {'2' * 64}", "source"),
        (Parent("transfer"), "parent transfer", "transfer"),
    ],
)
def test_a_start_reads_back(start: Random | Pretrained | Parent, text: str, run: str | None) -> None:
    assert str(start) == text
    assert parse_start(text) == start
    assert parse_start(start) is start
    assert start.run == run


class LaterClassifierRecipe(ClassifierRecipe):
    """A recipe with options that came later."""

    mixup: str = "none"
    crops: list[int] = Field(default=[])


class LaterGeneratorRecipe(GeneratorRecipe):
    """Likewise."""

    planner: str = "projection"
    views: list[int] = Field(default=[])


RECIPES: list[tuple[Recipe, type[Recipe], dict[str, object]]] = [
    (
        resolve_classifier("x", Classifier(about="x", weights="pretrained"), CONTEXT),
        LaterClassifierRecipe,
        {"mixup": "strong"},
    ),
    (resolve_generator("x", Generator(kind="generator", about="x"), CONTEXT), LaterGeneratorRecipe, {"planner": "r3"}),
]


@pytest.mark.parametrize(("recipe", "later", "change"), RECIPES, ids=["classifier", "generator"])
def test_a_new_option_changes_no_recipe_that_is_without_it(
    recipe: Recipe, later: type[Recipe], change: dict[str, object], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(recipe.text)
    again = later.read(file)
    assert (again.text, again.sha256) == (recipe.text, recipe.sha256)
    changed = again.model_copy(update=change)
    assert changed.sha256 != recipe.sha256
    file.write_text(changed.text)
    assert later.read(file) == changed
    with pytest.raises(RecipeError, match=r"recipe\.json is damaged; `make zoo` writes it again"):
        type(recipe).read(file)  # an older version of the code does not know the option
