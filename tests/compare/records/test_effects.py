"""Effects in made-up records, where the truth is known: differences, orders, repeats and the leak."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from compare.records import effects
from compare.records.leakage import leakages
from compare.records.rank_correlation import compare_ranks
from compare.records.record import RecordError
from compare.records.repeats import RepeatedEffect, repeats
from compare.records.studies import StudyRecords, load_all
from tests.compare.records.made_up import STUDY, classifier, write
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Difference, Estimate

SKILLS = {
    "baseline": 0.3,
    "weighted_loss": 0.3,
    "balanced_sampling": 0.5,
    "transfer": 0.6,
    "transfer_weighted_loss": 0.85,
    "transfer_oversampling": 0.35,
    "transfer_frozen_2": 0.6,
    "gan_2": 0.6,
    "gan_3": 0.6,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecords:
    root = tmp_path_factory.mktemp("records")
    write(root, *(classifier(name, skill) for name, skill in SKILLS.items()))
    [made] = load_all(root / "docs" / "results")
    return made


@pytest.fixture(scope="module")
def estimates(study: StudyRecords) -> effects.Estimates:
    return effects.estimate(study)


def test_measures_are_scikit_learns(study: StudyRecords, estimates: effects.Estimates) -> None:
    record, rare = study.classifiers["transfer"], [0, 1, 3, 6]
    f1 = f1_score(record.labels, record.predicted, average=None)
    recall = recall_score(record.labels, record.predicted, average=None)
    result = estimates["transfer"]
    assert result[effects.MACRO_F1].value == pytest.approx(record.test.macro_f1)
    assert result[effects.RARE_F1].value == pytest.approx(f1[rare].mean())
    assert result[effects.RARE_RECALL].value == pytest.approx(recall[rare].mean())


def test_each_entry_is_compared_with_its_own_start(study: StudyRecords, estimates: effects.Estimates) -> None:
    result = effects.by_question(study, estimates)
    assert {one.entry for one in result["baseline"]} == {"weighted_loss", "balanced_sampling", "transfer"}
    assert {one.entry for one in result["transfer"]} == {
        "transfer_weighted_loss",
        "transfer_oversampling",
        "transfer_frozen_2",
        "gan_2",
        "gan_3",
    }
    rare = {(one.entry, one.reference) for one in result["rare"]}
    assert rare == {
        ("weighted_loss", "baseline"),
        ("balanced_sampling", "baseline"),
        ("transfer_weighted_loss", "transfer"),
        ("transfer_oversampling", "transfer"),
        ("gan_2", "transfer"),
        ("gan_3", "transfer"),
    }
    assert effects.techniques(study, "gan_3") == ["weighting", "synthetic images"], "its own and its parent's"
    drawn = {name: effects.images_drawn(study, name) for name in ("gan_2", "gan_3")}
    assert drawn["gan_3"] == drawn["gan_2"] + study.classifiers["gan_3"].recipe.training_images


def test_each_step_is_compared_with_the_last_one_before_it(tmp_path: Path) -> None:
    skills = {"duplicates_2": 0.5, "views": 0.8, "adjusted": 0.6, "one_cycle": 0.4, "transfer": 0.3}
    write(tmp_path, *(classifier(name, skill) for name, skill in skills.items()))
    [study] = load_all(tmp_path / "docs" / "results")
    assert list(study.classifiers) == ["transfer", "one_cycle", "adjusted", "views", "duplicates_2"]
    steps = effects.by_question(study, effects.estimate(study))["steps"]
    assert [(one.entry, one.reference) for one in steps] == [
        ("one_cycle", "transfer"),
        ("adjusted", "one_cycle"),
        ("views", "adjusted"),
    ]
    assert all(one.difference.difference > 0 for one in steps)


def test_another_network_is_no_technique_for_the_rare_classes(tmp_path: Path) -> None:
    write(tmp_path, *(classifier(name, 0.5) for name in ("transfer", "augmented", "lite1")))
    [study] = load_all(tmp_path / "docs" / "results")
    answers = effects.by_question(study, effects.estimate(study))
    assert [one.entry for one in answers["transfer"]] == ["augmented", "lite1"]
    assert {one.entry for one in answers["rare"]} == {"augmented"}


def test_what_helped_what_hurt_and_what_cannot_be_shown(study: StudyRecords, estimates: effects.Estimates) -> None:
    helped, hurt, no_difference = effects.OUTCOMES
    expected = {
        "transfer": {
            "transfer_weighted_loss": helped,
            "transfer_oversampling": hurt,
            "transfer_frozen_2": no_difference,
            "gan_2": no_difference,
            "gan_3": no_difference,
        },
        "baseline": {"weighted_loss": no_difference, "balanced_sampling": helped, "transfer": helped},
    }
    questions = effects.by_question(study, estimates)
    for name, outcomes in expected.items():
        assert {effect.entry: effect.outcome for effect in questions[name]} == outcomes
    known = expected["transfer"] | expected["baseline"]
    for effect in questions["rare"]:
        assert effect.outcome == known[effect.entry], effect
    assert {effect.measure for effect in questions["rare"]} == {effects.RARE_F1, effects.RARE_RECALL}


def test_holms_correction_is_within_each_question(study: StudyRecords, estimates: effects.Estimates) -> None:
    questions = effects.by_question(study, estimates)
    for question in questions.values():
        corrected = bootstrap.holm([one.difference.p for one in question])
        assert [one.difference.p_holm for one in question] == corrected
    rare = questions["rare"]
    assert len(rare) == 12, "both measures are one question"
    least = min(one.difference.p for one in rare)
    assert min(one.difference.p_holm for one in rare) == pytest.approx(12 * least)


def test_without_what_they_are_compared_with_nothing_is_asked(study: StudyRecords) -> None:
    single = StudyRecords(study.name, study.settings, {"gan_2": study.classifiers["gan_2"]})
    assert effects.by_question(single, effects.estimate(single)) == {}
    assert effects.estimate(StudyRecords(study.name, study.settings)) == {}


def scored(values: Mapping[str, float], noise: float = 0.001) -> dict[str, Estimate]:
    random = np.random.default_rng(0)
    return {name: Estimate(value, value + noise * random.normal(size=10_000)) for name, value in values.items()}


def test_the_thesis_order() -> None:
    thesis = {name: 0.1 * number for number, name in enumerate("abcdef", start=1)}
    same = compare_ranks(thesis, scored({name: value / 2 for name, value in thesis.items()}))
    assert same is not None
    assert (same.spearman.value, same.kendall.value) == pytest.approx((1, 1))
    assert same.p < 0.01
    assert len(same.pairs) == 15
    assert all(pair.difference.is_significant and pair.difference.difference > 0 for pair in same.pairs)
    turned = compare_ranks(thesis, scored({name: -value for name, value in thesis.items()}))
    assert turned is not None
    assert turned.spearman.value == pytest.approx(-1)
    assert turned.spearman.interval[1] < 0
    assert turned.p < 0.01, "two-sided"
    assert all(pair.difference.is_significant and pair.difference.difference < 0 for pair in turned.pairs)
    noisy = compare_ranks(thesis, scored(dict.fromkeys("abcdef", 0.5) | {"f": 0.5001}, noise=0.1))
    assert noisy is not None
    assert noisy.spearman.interval[0] < 0 < noisy.spearman.interval[1]
    assert not any(pair.difference.is_significant for pair in noisy.pairs)


def test_an_order_needs_four_entries_and_ties_are_no_pairs() -> None:
    thesis = {"a": 0.7, "b": 0.7, "c": 0.71, "d": 0.72}
    assert compare_ranks(thesis, scored({"a": 0.1, "b": 0.2, "c": 0.3})) is None
    result = compare_ranks(thesis, scored({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}))
    assert result is not None
    assert {(pair.higher, pair.lower) for pair in result.pairs} == {
        ("c", "a"),
        ("d", "a"),
        ("c", "b"),
        ("d", "b"),
        ("d", "c"),
    }
    assert compare_ranks(thesis, scored(dict.fromkeys("abcd", 0.5))) is None


def test_repeats_over_seeds(tmp_path: Path) -> None:
    for seed, skill in ((123, 0.6), (1, 0.7), (2, 0.8)):
        study = STUDY.model_copy(update={"seed": seed})
        write(tmp_path, classifier("transfer", skill, study))
        if seed != 2:
            write(tmp_path, classifier("transfer_weighted_loss", skill + 0.1, study))
    write(tmp_path, classifier("baseline", 0.3), classifier("transfer", 0.6, STUDY.model_copy(update={"arch": "x"})))
    [result] = repeats(load_all(tmp_path / "docs" / "results"))
    assert result.seeds == [123, 1, 2]
    assert {name: list(values) for name, values in result.scores.items()} == {
        "transfer": [123, 1, 2],
        "transfer_weighted_loss": [123, 1],
    }
    values = [scores.macro_f1 for scores in result.scores["transfer"].values()]
    assert values == sorted(values)
    [effect] = result.effects  # the reference of transfer, the baseline, is not repeated
    assert (effect.entry, effect.reference, effect.direction) == ("transfer_weighted_loss", "transfer", "always higher")
    weighted = [scores.macro_f1 for scores in result.scores["transfer_weighted_loss"].values()]
    differences = {123: weighted[0] - values[0], 1: weighted[1] - values[1]}
    assert effect.by_seed == pytest.approx(differences)
    assert all(value > 0 for value in differences.values())
    assert effect.difference.difference == pytest.approx(sum(differences.values()) / 2)
    low, high = effect.difference.interval
    assert low < effect.difference.difference < high


def test_synthetic_images_are_compared_with_copies_of_real_ones(tmp_path: Path) -> None:
    for seed, skill in ((123, 0.8), (1, 0.7)):
        study = STUDY.model_copy(update={"seed": seed})
        write(tmp_path, classifier("duplicates_2", 0.5, study), classifier("gan_2", skill, study))
        write(tmp_path, classifier("projected_2", 0.5, study))
    studies = load_all(tmp_path / "docs" / "results")
    [result] = repeats(studies)
    pairs = {(effect.entry, effect.reference): effect for effect in result.effects}
    assert set(pairs) == {("gan_2", "duplicates_2"), ("projected_2", "duplicates_2")}
    assert pairs["gan_2", "duplicates_2"].difference.is_significant
    questions = effects.by_question(studies[0], effects.estimate(studies[0]))
    assert {effect.measure for effect in questions["duplicates"]} == set(effects.MEASURES)
    for measure in effects.MEASURES:
        assert {effect.entry: effect.outcome for effect in questions["duplicates"] if effect.measure == measure} == {
            "gan_2": "helped",
            "projected_2": "no difference shown",
        }
    assert effects.techniques(studies[0], "duplicates_2") == ["copies of real images"]
    # What differs in more than where the images come from is not compared.
    classifiers = dict(studies[0].classifiers)
    assert effects.filled_up_alike(studies[0], "projected_2") == "duplicates_2"
    for option in ({"augment": "standard"}, {"optimizer": "adamw"}, {"views": 8}, {"fill_up": [1]}):
        other = classifiers["projected_2"].recipe.model_copy(update=option)
        classifiers["projected_2"] = classifiers["projected_2"].model_copy(update={"recipe": other})
        changed = StudyRecords(studies[0].name, studies[0].settings, classifiers)
        assert effects.filled_up_alike(changed, "projected_2") is None
        classifiers = dict(studies[0].classifiers)


def test_the_usual_seed_is_what_others_repeat(tmp_path: Path) -> None:
    for seed in (1, 2):
        study = STUDY.model_copy(update={"seed": seed})
        write(tmp_path, classifier("transfer", 0.9, study), classifier("baseline", 0.4, study))
    write(tmp_path, classifier("transfer", 0.6))
    [result] = repeats(load_all(tmp_path / "docs" / "results"))
    assert result.seeds == [123, 1, 2], "however few its entries, and whatever the scores"


def test_another_recipe_is_no_repeat(tmp_path: Path) -> None:
    other = classifier("transfer", 0.6, STUDY.model_copy(update={"seed": 1}))
    changed = other.recipe.model_copy(update={"learning_rate": 1e-5})
    write(tmp_path, classifier("transfer", 0.7), other.model_copy(update={"recipe": changed}))
    with pytest.raises(RecordError, match="transfer is no repeat"):
        repeats(load_all(tmp_path / "docs" / "results"))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((0.5, 0.7, 0.5), "not always the same way"),
        ((0.7, 0.7, 0.7), "always higher"),
        ((0.5, 0.5, 0.5), "always lower"),
        ((0.6, 0.7, 0.7), "not always the same way"),
        ((0.6001, 0.7, 0.7), "not always the same way"),
    ],
)
def test_what_is_said_of_differences_by_seed(scores: tuple[float, ...], words: str) -> None:
    by_seed = {seed: value - 0.6 for seed, value in zip((123, 1, 2), scores, strict=True)}
    assert RepeatedEffect("x", "y", by_seed, Difference(0.1, (0.0, 0.2), 0.5, 0.5)).direction == words


def leaking(root: Path, with_siblings: float, without: float) -> list[StudyRecords]:
    for split, skill in (("thesis", with_siblings), ("thesis_without_siblings", without)):
        study = STUDY.model_copy(update={"split": split})
        write(root, classifier("transfer", 0.6, study, siblings=skill))
    write(root, classifier("transfer", 0.6))
    return load_all(root / "docs" / "results")


def test_the_leak_is_measured_on_the_images_that_leak(tmp_path: Path) -> None:
    [result] = leakages(leaking(tmp_path, 0.9, 0.5))
    images = result.with_siblings.images
    assert result.leaking.images == sum(one.sibling for one in images)
    assert result.others.images == len(images) - result.leaking.images
    rows = np.array([one.sibling for one in images])
    wanted = [float((one.predicted == one.labels)[rows].mean()) for one in (result.with_siblings, result.without)]
    accuracy = result.leaking.gains[0]
    assert (accuracy.measure, accuracy.with_siblings, accuracy.without) == ("accuracy", *map(pytest.approx, wanted))
    assert accuracy.difference.difference == pytest.approx(wanted[0] - wanted[1])
    assert all(gain.difference.p_holm < 0.05 and gain.difference.difference > 0 for gain in result.leaking.gains)
    gains = [gain for part in (result.leaking, result.others, result.total) for gain in part.gains]
    assert [gain.difference.p_holm for gain in gains] == bootstrap.holm([gain.difference.p for gain in gains]), (
        "one question"
    )
    assert np.add(result.leaking.counts, result.others.counts).tolist() == result.total.counts
    assert all(gain.difference.difference == 0 and gain.difference.p_holm == 1 for gain in result.others.gains)


def test_a_leak_needs_the_same_images(tmp_path: Path) -> None:
    studies = leaking(tmp_path, 0.9, 0.5)
    assert leakages([one for one in studies if one.settings.split != "thesis"]) == []
    other = next(one for one in studies if one.settings.split == "thesis")
    record = other.classifiers["transfer"]
    other.classifiers["transfer"] = record.model_copy(update={"images": record.images[::-1]})
    with pytest.raises(RecordError, match="different test images"):
        leakages(studies)
