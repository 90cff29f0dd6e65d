"""Five folds: pooled differences, the five beside them, and what counts as shown."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from compare.records import effects
from compare.records.folds import AGREEING, Folds, folds
from compare.records.page import PAGE, publish
from compare.records.record import RESULTS, ClassifierRecord, RecordError
from compare.records.studies import load_all
from tests.compare.records.made_up import EACH, STUDY, classifier, write
from zoo.entry import catalog
from zoo.kinds.classifier import ClassifierRecipe
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Resamples


def record(name: str, fold: int, skill: float, **other: Any) -> ClassifierRecord:
    """A record of one fold, whose images are its own."""
    study = STUDY.model_copy(update={"split": f"fold{fold}", "seed": fold, "generator_seed": fold})
    made = classifier(name, skill, study, **other)
    images = [
        image._replace(image=f"{fold}{image.image}", lesion=f"{fold}{image.lesion}", sibling=False)
        for image in made.images
    ]
    return made.model_copy(update={"images": images})


def of(root: Path, skills: dict[str, list[float]]) -> list[Folds]:
    for name, by_fold in skills.items():
        write(root, *(record(name, number, skill) for number, skill in enumerate(by_fold, 1)))
    return folds(load_all(root / RESULTS))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("folds")
    of(made, {
        "transfer": [0.5] * 5,
        "augmented": [0.7, 0.7, 0.7, 0.7, 0.4],
        "transfer_oversampling": [0.95, 0.9, 0.45, 0.45, 0.45],
        "transfer_weighted_loss": [0.5] * 5,
    })  # fmt: skip
    return made


@pytest.fixture(scope="module")
def group(root: Path) -> Folds:
    [found] = folds(load_all(root / RESULTS))
    return found


def test_all_images_are_pooled_and_differences_are_paired(group: Folds) -> None:
    pooled = group.pooled.classifiers["augmented"]
    assert len(pooled.images) == 5 * sum(EACH)
    [mine] = [one for one in group.questions["transfer"] if one.effect.entry == "augmented"]
    resamples = Resamples(pooled.labels, pooled.lesions, 0, bootstrap.PAIRED_RESAMPLES)
    by_hand = bootstrap.paired_difference(
        bootstrap.estimate(resamples, pooled.predicted),
        bootstrap.estimate(resamples, group.pooled.classifiers["transfer"].predicted),
    )
    assert mine.effect.difference.difference == pytest.approx(by_hand.difference)
    assert mine.effect.difference.interval == pytest.approx(by_hand.interval)


def test_the_five_differences_and_nadeau_and_bengio_s_interval(group: Folds) -> None:
    [mine] = [one for one in group.questions["transfer"] if one.effect.entry == "augmented"]
    values = [
        study.classifiers["augmented"].test.macro_f1 - study.classifiers["transfer"].test.macro_f1
        for study in group.studies
    ]
    assert mine.by_fold == pytest.approx(values)
    assert [value > 0 for value in values] == [True, True, True, True, False]
    counts = group.studies[0].classifiers["transfer"].counts
    tested_over_trained = sum(counts["test"]) / sum(counts["train"])
    standard_error = np.sqrt((1 / 5 + tested_over_trained) * np.var(values, ddof=1))
    low, high = stats.t.interval(0.95, 4, np.mean(values), standard_error)
    assert mine.corrected_interval == pytest.approx((low, high))


def test_shown_is_what_the_pooled_images_show_and_four_folds_agree_on(group: Folds) -> None:
    answers = group.questions["transfer"]
    outcomes = {one.effect.entry: (one.effect.outcome, one.agreeing, one.outcome) for one in answers}
    assert outcomes["augmented"] == ("helped", 4, "helped")
    assert outcomes["transfer_oversampling"][0] == "helped"
    assert outcomes["transfer_oversampling"][1] == 2 < AGREEING
    assert outcomes["transfer_oversampling"][2] == "no difference shown"
    assert outcomes["transfer_weighted_loss"][2] == "no difference shown"


def test_the_smallest_difference_that_can_be_shown_is_that_of_the_spread(group: Folds) -> None:
    [mine] = [one for one in group.questions["transfer"] if one.effect.entry == "augmented"]
    low, high = mine.effect.difference.interval
    assert len(group.questions["transfer"]) == 3
    strictest = stats.norm.ppf(1 - 0.05 / 3 / 2)
    assert mine.smallest == pytest.approx((strictest + 0.8416) * (high - low) / (2 * 1.96), rel=0.05)
    [same] = [one for one in group.questions["transfer"] if one.effect.entry == "transfer_weighted_loss"]
    assert same.smallest == 0, "the same predictions"
    assert group.smallest[0] <= mine.smallest <= group.smallest[1]


def test_the_page_has_them(root: Path) -> None:
    publish(root, catalog())
    text = (root / PAGE).read_text()
    section = text.partition(f"## Five folds: {STUDY.name}\n")[2].partition("\n## ")[0]
    assert "All 1,400 images, each predicted by a training that did not see it" in section
    assert "of interest is 0.03, declared beforehand" in section
    row = next(line for line in section.splitlines() if line.startswith("| `augmented` | `transfer` | macro F1 |"))
    assert "**helped**" in row
    [short] = [line for line in text.splitlines() if line.startswith("- Over five folds (`")]
    shown, nothing_shown = short.split("; no difference shown: ")
    # Each once, though it answers two questions.
    assert len(re.findall(r"`augmented` helped against `transfer` \(macro F1 \+0", shown)) == 1
    assert "`transfer_weighted_loss` against `transfer` (macro F1 " in nothing_shown
    assert "`augmented` against `transfer` (macro F1 " not in nothing_shown
    assert effects.QUESTIONS["rare"] in section


def test_four_folds_are_no_five_and_one_entry_has_no_difference(tmp_path: Path) -> None:
    assert of(tmp_path / "a", {"transfer": [0.5] * 4, "augmented": [0.7] * 4}) == []
    assert of(tmp_path / "b", {"transfer": [0.5] * 5}) == []
    assert of(tmp_path / "c", {"transfer_oversampling": [0.5] * 5, "augmented": [0.7] * 5}) == []
    publish(tmp_path / "c", catalog())


def test_at_demo_what_is_filled_up_goes_by_the_fold(tmp_path: Path) -> None:
    def filled_up(scale: str, folder: str) -> list[Folds]:
        for name in ("transfer", "duplicates_2"):
            for number in range(1, 6):
                made = record(name, number, 0.5)
                settings = made.settings.model_copy(update={"scale": scale})
                recipe = made.recipe
                if isinstance(recipe, ClassifierRecipe) and recipe.fill_up:
                    recipe = recipe.model_copy(update={"fill_up": [recipe.fill_up[0] + number, *recipe.fill_up[1:]]})
                write(tmp_path / folder, made.model_copy(update={"settings": settings, "recipe": recipe}))
        return folds(load_all(tmp_path / folder / RESULTS))

    [group] = filled_up("demo", "a")
    assert list(group.pooled.classifiers) == ["transfer", "duplicates_2"]
    with pytest.raises(RecordError, match="duplicates_2 has another recipe than"):
        filled_up("small", "b")


def test_a_fold_s_repeat_with_another_seed_is_not_taken_for_the_fold(root: Path, group: Folds, tmp_path: Path) -> None:
    shutil.copytree(root / RESULTS, tmp_path / RESULTS)
    for name in ("transfer", "augmented"):
        original = record(name, 1, 0.1)
        settings = original.settings.model_copy(update={"seed": 7})
        again = {"study": f"{original.study}-seed7", "settings": settings}
        write(tmp_path, original.model_copy(update=again))
    [found] = folds(load_all(tmp_path / RESULTS))
    assert [study.name for study in found.studies] == [study.name for study in group.studies]
    assert list(found.pooled.classifiers) == list(group.pooled.classifiers)


@pytest.mark.parametrize("changed", [{"augment": "flips"}, {"draws": [700] * 3}], ids=["an option", "epochs"])
def test_folds_of_two_recipes_are_an_error(changed: dict[str, Any], tmp_path: Path) -> None:
    for name in ("transfer", "augmented"):
        write(tmp_path, *(record(name, number, 0.5) for number in range(1, 6)))
    third = record("augmented", 3, 0.5)
    write(tmp_path, third.model_copy(update={"recipe": third.recipe.model_copy(update=changed)}))
    with pytest.raises(RecordError, match=r"-fold3: augmented has another recipe than .*-fold1's; train it again"):
        folds(load_all(tmp_path / RESULTS))


def test_an_image_that_is_tested_on_twice_is_an_error(tmp_path: Path) -> None:
    for name in ("transfer", "augmented"):
        write(tmp_path, *(record(name, number, 0.5) for number in range(1, 5)))
        twice = record(name, 5, 0.5)
        write(tmp_path, twice.model_copy(update={"images": record(name, 1, 0.5).images}))
    with pytest.raises(RecordError, match="test on an image twice"):
        folds(load_all(tmp_path / RESULTS))
