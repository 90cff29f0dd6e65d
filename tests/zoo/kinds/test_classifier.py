"""Recipes: the thesis's figures at the scales that keep them, and in proportion at `demo`."""

from itertools import pairwise

import pytest

from zoo.entry import catalog
from zoo.kinds import classifier, generator
from zoo.kinds.base import Context, Data, Pretrained, RecipeError
from zoo.kinds.classifier import Classifier
from zoo.kinds.generator import Generator
from zoo.study import Study

DATA = Data(
    store_sha256="0" * 64,
    split_sha256="1" * 64,
    counts={"train": [233, 353, 767, 79, 758, 4711, 110], "valid": [1] * 7, "test": [1] * 7},
    mean=[0.7, 0.5, 0.5],
    std=[0.1, 0.1, 0.1],
)


def resolve(
    name: str,
    entry: Classifier,
    study: Study,
    data: Data = DATA,
    weights: str = "imagenet",
    **recipes: classifier.ClassifierRecipe | generator.GeneratorRecipe,
) -> classifier.ClassifierRecipe:
    return classifier.resolve(name, entry, Context(study, data, Pretrained(weights), recipes))


def draws(name: str, study: Study, data: Data = DATA) -> list[int]:
    entry = catalog()[name]
    assert isinstance(entry, Classifier)
    return resolve(name, entry, study, data).draws


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


def test_one_cycle_needs_steps_for_a_rise_and_a_fall() -> None:
    entry = Classifier(about="x", schedule="one_cycle", epochs=3, batch=4096)
    with pytest.raises(RecipeError, match="mine: one cycle needs 10 steps at least, these images and epochs give 6"):
        resolve("mine", entry, REAL)
    longer = entry.model_copy(update={"epochs": 5})
    assert resolve("mine", longer, REAL).draws == [7011] * 5


def test_demo_keeps_every_stage_and_at_least_three_passes() -> None:
    demo = DATA.model_copy(update={"counts": {"train": [100] * 7, "valid": [1] * 7, "test": [1] * 7}})
    assert draws("baseline", Study(), demo) == [700] * 3
    assert draws("oversampling", Study(), demo) == [1747] * 2
    assert draws("transfer_dynamic_sampling", Study(), demo) == [1747, 1248, 749, 599, 700]
    assert draws("transfer_dynamic_sampling_50", Study(), demo) == [1747, 1248, 749, 599] + [700] * 6


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"threads": 2}, {"arch": "mobilenetv2_100"}, {"scale": "small"}, {"split": "thesis"}]
)
def test_whatever_decides_the_weights_changes_the_digest(change: dict[str, object]) -> None:
    entry = catalog()["transfer"]
    assert isinstance(entry, Classifier)
    here = resolve("transfer", entry, REAL, DATA)
    there = REAL.model_copy(update=change)
    data = DATA if there.split == "lesion" else DATA.model_copy(update={"split_sha256": "2" * 64})
    assert resolve("transfer", entry, there, data).sha256 != here.sha256


def test_a_child_depends_on_its_parents_recipe() -> None:
    parent, child = catalog()["transfer"], Classifier(about="x", parent="transfer")
    assert isinstance(parent, Classifier)
    one = resolve("transfer", parent, REAL)
    other = resolve("transfer", parent, REAL, weights="another file")
    of_one, of_other = (resolve("child", child, REAL, transfer=parent_recipe) for parent_recipe in (one, other))
    assert str(of_one.start) == "parent transfer"
    assert of_one.sha256 != of_other.sha256


def test_an_entry_s_own_network_starts_from_imagenet_and_the_study_s_own_is_none() -> None:
    entry = Classifier(about="x", weights="pretrained", network="tf_efficientnet_lite2")
    recipe = resolve("lite2", entry, REAL, weights="file.safetensors")
    assert (recipe.architecture, str(recipe.start)) == ("tf_efficientnet_lite2", "imagenet")
    assert classifier.needs(recipe) == ["source.tf_efficientnet_lite2/weights.safetensors"]
    child = resolve("child", Classifier(about="x", parent="lite2"), REAL, lite2=recipe)
    assert child.architecture == child.network == "tf_efficientnet_lite2"
    assert classifier.needs(child) == ["lite2/weights.safetensors"]
    same = Classifier(about="x", weights="pretrained", network=REAL.arch)
    assert resolve("x", same, REAL) == resolve("x", Classifier(about="x", weights="pretrained"), REAL)


def test_an_entry_that_trains_for_no_epochs_is_its_parent_with_other_views() -> None:
    entries = catalog()
    adjusted, views = entries["adjusted"], entries["views"]
    assert isinstance(adjusted, Classifier)
    assert isinstance(views, Classifier)
    parent = resolve("adjusted", adjusted, REAL)
    recipe = resolve("views", views, REAL, adjusted=parent)
    changed = {key for key, value in recipe if value != getattr(parent, key)}
    assert changed == {"entry", "start", "parent_sha256", "draws", "views"}
    assert recipe.epochs == 0
    assert classifier.needs(recipe) == ["adjusted/weights.safetensors"]


def test_a_fold_keeps_the_last_epoch() -> None:
    entry = catalog()["transfer"]
    assert isinstance(entry, Classifier)
    assert resolve("transfer", entry, REAL).keep == "best"
    assert resolve("transfer", entry, REAL.model_copy(update={"split": "fold2"})).keep == "last"


def test_each_step_of_the_ladder_is_one_change() -> None:
    entries = catalog()
    steps = ["transfer", "augmented", "one_cycle", "adjusted", "lite1", "lite2"]
    options = [entries[name].model_dump(exclude_defaults=True, exclude={"about", "thesis"}) for name in steps]
    changes = [
        {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} for one, other in pairwise(options)
    ]
    schedule = {"optimizer", "weight_decay", "schedule", "learning_rate", "ema", "epochs", "keep"}
    assert changes[:3] == [{"augment"}, changes[1], {"logit_adjustment"}]
    assert changes[1] <= schedule | {"batch"}
    assert changes[3:] == [{"network", "views"}, {"network"}]
    assert entries["views"].model_dump()["parent"] == "adjusted"


def test_what_an_entry_is_about_does_not_change_its_recipe() -> None:
    one, other = (resolve("a", Classifier(about=about), REAL) for about in ("x", "y"))
    assert one.text == other.text


def sagan(images: int = 4714, **changes: object) -> generator.GeneratorRecipe:
    """The recipe of a generator whose pool has so many images of each class."""
    entry = catalog()["sagan"]
    assert isinstance(entry, Generator)
    recipe = generator.resolve("sagan", entry, Context(REAL, DATA, Pretrained("imagenet")))
    return recipe.model_copy(update={"pool": dict.fromkeys(recipe.pool, images)} | changes)


def filled(
    name: str, study: Study, data: Data = DATA, pool: generator.GeneratorRecipe | None = None
) -> classifier.ClassifierRecipe:
    entry = catalog()[name]
    assert isinstance(entry, Classifier)
    return resolve(name, entry, study, data, sagan=pool or sagan())


def test_the_theses_fill_up_schedules() -> None:
    one, two = filled("gan_1", REAL), filled("gan_2", REAL)
    assert one.fill_up == [2000, 2000, 1000, 1000, 750, 750, 500, 500, 250, 250, 0, 0]
    assert two.fill_up == [4700] * 2 + [4000] * 2 + [3000] * 2 + [2000] * 2 + [1000] * 2 + [500] * 2 + [0] * 3
    assert one.draws[0] == 6 * 2000 + 4711, "nv has more than 2000 and stays as it is"
    assert two.draws[0] == 6 * 4700 + 4711
    assert one.draws[-1] == two.draws[-1] == 7011


def test_demo_keeps_the_stages_of_a_fill_up() -> None:
    demo = DATA.model_copy(update={"counts": {"train": [100] * 7, "valid": [1] * 7, "test": [1] * 7}})
    assert filled("gan_1", Study(), demo).fill_up == [100, 50, 37, 25, 12, 0]
    assert filled("gan_1", Study(), demo).draws == [700] * 6
    assert len(filled("gan_2", Study(), demo).fill_up) == 7


def test_a_pool_that_is_too_small_is_an_error() -> None:
    with pytest.raises(RecipeError, match="the pool of sagan is too small"):
        filled("gan_2", REAL, pool=sagan(4000))


def test_the_generators_recipe_decides_too() -> None:
    assert filled("gan_1", REAL).sha256 != filled("gan_1", REAL, pool=sagan(seed=7)).sha256


def test_an_entry_without_synthetic_images_says_nothing_of_them() -> None:
    entry = catalog()["baseline"]
    assert isinstance(entry, Classifier)
    assert "generator" not in resolve("baseline", entry, REAL).text


def test_another_seed_leaves_the_generators_as_they_are() -> None:
    entry = catalog()["sagan"]
    assert isinstance(entry, Generator)
    here, other, own = (
        generator.resolve("sagan", entry, Context(REAL.model_copy(update=change), DATA, Pretrained("imagenet")))
        for change in ({}, {"seed": 7}, {"generator_seed": 7})
    )
    assert here == other
    assert own == here.model_copy(update={"seed": 7})
