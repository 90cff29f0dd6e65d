"""Recipes: the thesis's figures at the scales that keep them, and in proportion at `demo`."""

import pytest

from zoo import generator_recipe, recipe
from zoo.entry import Classifier, Generator, catalog
from zoo.study import Study

DATA = recipe.Data(
    store_sha256="0" * 64,
    split_sha256="1" * 64,
    counts={"train": [233, 353, 767, 79, 758, 4711, 110], "valid": [1] * 7, "test": [1] * 7},
    mean=[0.7, 0.5, 0.5],
    std=[0.1, 0.1, 0.1],
)


def draws(name: str, study: Study, data: recipe.Data = DATA) -> list[int]:
    entry = catalog()[name]
    assert isinstance(entry, Classifier)
    return recipe.resolve(name, entry, study, data, "imagenet", None).draws


REAL = Study(data="/ham10000", scale="paper", weights="imagenet")


def test_the_theses_draws() -> None:
    assert draws("baseline", REAL) == [7011] * 10
    assert draws("balanced_sampling", REAL) == [7011] * 10
    assert draws("oversampling", REAL) == [35000] * 10
    assert draws("transfer_dynamic_sampling", REAL) == [
        35000, 35000, 25000, 25000, 15000, 15000, 12000, 12000, 7011, 7011,
    ]  # fmt: skip
    assert draws("transfer_dynamic_sampling_50", REAL) == (
        [35000] * 4 + [25000] * 4 + [15000] * 4 + [12000] * 6 + [7011] * 32
    )


def test_demo_keeps_every_stage_and_at_least_three_epochs() -> None:
    demo = DATA.model_copy(update={"counts": {"train": [100] * 7, "valid": [1] * 7, "test": [1] * 7}})
    assert draws("baseline", Study(), demo) == [700] * 3
    assert draws("oversampling", Study(), demo) == [3495] * 3
    assert draws("transfer_dynamic_sampling", Study(), demo) == [3495, 2496, 1498, 1198, 700]
    assert draws("transfer_dynamic_sampling_50", Study(), demo) == [3495, 2496, 1498, 1198] + [700] * 6


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"threads": 2}, {"arch": "mobilenetv2_100"}, {"scale": "small"}, {"split": "thesis"}]
)
def test_whatever_decides_the_weights_changes_the_digest(change: dict[str, object]) -> None:
    entry = catalog()["transfer"]
    assert isinstance(entry, Classifier)
    here = recipe.resolve("transfer", entry, REAL, DATA, "imagenet", None)
    there = REAL.model_copy(update=change)
    data = DATA if there.split == "lesion" else DATA.model_copy(update={"split_sha256": "2" * 64})
    assert recipe.resolve("transfer", entry, there, data, "imagenet", None).sha256 != here.sha256


def test_a_child_depends_on_its_parents_recipe() -> None:
    parent, child = catalog()["transfer"], Classifier(about="x", parent="transfer")
    assert isinstance(parent, Classifier)
    one = recipe.resolve("transfer", parent, REAL, DATA, "imagenet", None)
    other = recipe.resolve("transfer", parent, REAL, DATA, "another file", None)
    of_one, of_other = (recipe.resolve("child", child, REAL, DATA, "imagenet", made) for made in (one, other))
    assert of_one.start == "parent transfer"
    assert of_one.sha256 != of_other.sha256


def test_what_an_entry_is_about_does_not_change_its_recipe() -> None:
    one, other = (recipe.resolve("a", Classifier(about=about), REAL, DATA, "", None) for about in ("x", "y"))
    assert one.text == other.text


POOL = recipe.Pool("3" * 64, [4714] * 7)


def filled(name: str, study: Study, data: recipe.Data = DATA, pool: recipe.Pool = POOL) -> recipe.Recipe:
    entry = catalog()[name]
    assert isinstance(entry, Classifier)
    return recipe.resolve(name, entry, study, data, "imagenet", None, pool)


def test_the_theses_fill_up_schedules() -> None:
    one, two = filled("gan_1", REAL), filled("gan_2", REAL)
    assert one.fill_up == [2000, 2000, 1000, 1000, 750, 750, 500, 500, 250, 250, 0, 0]
    assert two.fill_up == [4700] * 2 + [4000] * 2 + [3000] * 2 + [2000] * 2 + [1000] * 2 + [500] * 2 + [0] * 3
    assert one.draws[0] == 6 * 2000 + 4711, "nv has more than 2000 and stays as it is"
    assert two.draws[0] == 6 * 4700 + 4711
    assert one.draws[-1] == two.draws[-1] == 7011


def test_demo_keeps_the_stages_of_a_fill_up() -> None:
    demo = DATA.model_copy(update={"counts": {"train": [100] * 7, "valid": [1] * 7, "test": [1] * 7}})
    assert filled("gan_1", Study(), demo).fill_up == [200, 100, 75, 50, 25, 0]
    assert filled("gan_1", Study(), demo).draws == [1400, 700, 700, 700, 700, 700]
    assert len(filled("gan_2", Study(), demo).fill_up) == 7


def test_a_pool_that_is_too_small_is_an_error() -> None:
    with pytest.raises(recipe.RecipeError, match="the pool of sagan is too small"):
        filled("gan_2", REAL, pool=recipe.Pool("3" * 64, [4000] * 7))


def test_the_generators_recipe_decides_too() -> None:
    other = recipe.Pool("4" * 64, POOL.counts)
    assert filled("gan_1", REAL).sha256 != filled("gan_1", REAL, pool=other).sha256


def test_an_entry_without_synthetic_images_says_nothing_of_them() -> None:
    entry = catalog()["baseline"]
    assert isinstance(entry, Classifier)
    assert "generator" not in recipe.resolve("baseline", entry, REAL, DATA, "imagenet", None).text


def test_another_seed_leaves_the_generators_as_they_are() -> None:
    sagan = catalog()["sagan"]
    assert isinstance(sagan, Generator)
    here, other, own = (
        generator_recipe.resolve("sagan", sagan, REAL.model_copy(update=change), DATA, "imagenet")
        for change in ({}, {"seed": 7}, {"generator_seed": 7})
    )
    assert here == other
    assert own == here.model_copy(update={"seed": 7})
