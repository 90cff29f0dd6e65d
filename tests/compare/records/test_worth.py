"""What is found in made-up records: differences, orders, repeats and the leak, where the truth is known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from compare.records import leak, ordering, repeats, tables, worth
from compare.records.record import Recorded, RecordError, load_all
from tests.compare.records.made_up import STUDY, classifier, written
from zoo.metrics import bootstrap
from zoo.metrics.bootstrap import Estimate

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
def study(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    root = tmp_path_factory.mktemp("records")
    written(root, *(classifier(name, skill) for name, skill in SKILLS.items()))
    [made] = load_all(root / "docs" / "results")
    return made


@pytest.fixture(scope="module")
def judged(study: Recorded) -> worth.Judged:
    return worth.judge(study)


def test_measures_are_scikit_learns(study: Recorded, judged: worth.Judged) -> None:
    record, rare = study.classifiers["transfer"], [0, 1, 3, 6]
    f1 = f1_score(record.labels, record.said, average=None)
    recall = recall_score(record.labels, record.said, average=None)
    found = judged["transfer"]
    assert found[worth.MACRO_F1].value == pytest.approx(record.test.macro_f1)
    assert found[worth.RARE_F1].value == pytest.approx(f1[rare].mean())
    assert found[worth.RARE_RECALL].value == pytest.approx(recall[rare].mean())


def test_each_entry_is_compared_with_its_own_start(study: Recorded, judged: worth.Judged) -> None:
    found = {question.name: question.findings for question in worth.questions(study, judged)}
    assert {one.entry for one in found["baseline"]} == {"weighted_loss", "balanced_sampling", "transfer"}
    assert {one.entry for one in found["transfer"]} == {
        "transfer_weighted_loss",
        "transfer_oversampling",
        "transfer_frozen_2",
        "gan_2",
        "gan_3",
    }
    rare = {(one.entry, one.against) for one in found["rare"]}
    assert rare == {
        ("weighted_loss", "baseline"),
        ("balanced_sampling", "baseline"),
        ("transfer_weighted_loss", "transfer"),
        ("transfer_oversampling", "transfer"),
        ("gan_2", "transfer"),
        ("gan_3", "transfer"),
    }
    assert worth.techniques(study, "gan_3") == ["weighting", "synthetic images"], "its own and its parent's"
    drawn = {name: worth.images_drawn(study, name) for name in ("gan_2", "gan_3")}
    assert drawn["gan_3"] == drawn["gan_2"] + sum(study.classifiers["gan_3"].recipe.draws)


def test_what_helped_what_hurt_and_what_cannot_be_told(study: Recorded, judged: worth.Judged) -> None:
    for question in worth.questions(study, judged):
        verdicts = {one.entry: one.verdict for one in question.findings}
        assert {name: verdicts[name] for name in verdicts if name in ("transfer", "transfer_weighted_loss")} == {
            name: "helped" for name in ("transfer", "transfer_weighted_loss") if name in verdicts
        }
        assert verdicts.get("transfer_oversampling", "hurt") == "hurt"
        assert verdicts.get("gan_2", "no difference shown") == "no difference shown"
        assert verdicts.get("weighted_loss", "no difference shown") == "no difference shown"


def test_holms_correction_is_within_each_question(study: Recorded, judged: worth.Judged) -> None:
    for question in worth.questions(study, judged):
        corrected = bootstrap.holm([one.found.p for one in question.findings])
        assert [one.p_holm for one in question.findings] == corrected
    rare = worth.questions(study, judged)[-1]
    assert len(rare.findings) == 12, "both measures are one question"
    least = min(one.found.p for one in rare.findings)
    assert min(one.p_holm for one in rare.findings) == pytest.approx(12 * least)


def test_without_what_they_are_compared_with_nothing_is_asked(study: Recorded) -> None:
    alone = Recorded(study.name, study.settings, {"gan_2": study.classifiers["gan_2"]})
    assert worth.questions(alone, worth.judge(alone)) == []
    assert worth.judge(Recorded(study.name, study.settings)) == {}


def scored(values: Mapping[str, float], noise: float = 0.001) -> dict[str, Estimate]:
    random = np.random.default_rng(0)
    return {name: Estimate(value, value + noise * random.normal(size=10_000)) for name, value in values.items()}


def test_the_thesis_order() -> None:
    thesis = {name: 0.1 * number for number, name in enumerate("abcdef", start=1)}
    same = ordering.ordering(thesis, scored({name: value / 2 for name, value in thesis.items()}))
    assert same is not None
    assert (same.spearman.value, same.kendall.value) == pytest.approx((1, 1))
    assert same.p < 0.01
    assert len(same.pairs) == 15
    assert all(pair.shown and pair.found.difference > 0 for pair in same.pairs)
    turned = ordering.ordering(thesis, scored({name: -value for name, value in thesis.items()}))
    assert turned is not None
    assert turned.spearman.value == pytest.approx(-1)
    assert turned.spearman.interval[1] < 0
    assert all(pair.shown and pair.found.difference < 0 for pair in turned.pairs)
    noisy = ordering.ordering(thesis, scored(dict.fromkeys("abcdef", 0.5) | {"f": 0.5001}, noise=0.1))
    assert noisy is not None
    assert noisy.spearman.interval[0] < 0 < noisy.spearman.interval[1]
    assert not any(pair.shown for pair in noisy.pairs)


def test_an_order_needs_four_entries_and_ties_are_no_pairs() -> None:
    thesis = {"a": 0.7, "b": 0.7, "c": 0.71, "d": 0.72}
    assert ordering.ordering(thesis, scored({"a": 0.1, "b": 0.2, "c": 0.3})) is None
    found = ordering.ordering(thesis, scored({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}))
    assert found is not None
    assert {(pair.higher, pair.lower) for pair in found.pairs} == {
        ("c", "a"),
        ("d", "a"),
        ("c", "b"),
        ("d", "b"),
        ("d", "c"),
    }
    assert ordering.ordering(thesis, scored(dict.fromkeys("abcd", 0.5))) is None


def test_repeats_over_seeds(tmp_path: Path) -> None:
    for seed, skill in ((123, 0.6), (1, 0.7), (2, 0.8)):
        study = STUDY.model_copy(update={"seed": seed})
        written(tmp_path, classifier("transfer", skill, study))
        if seed != 2:
            written(tmp_path, classifier("transfer_weighted_loss", skill + 0.1, study))
    written(tmp_path, classifier("baseline", 0.3), classifier("transfer", 0.6, STUDY.model_copy(update={"arch": "x"})))
    [found] = repeats.repeats(load_all(tmp_path / "docs" / "results"))
    assert found.seeds == [123, 1, 2]
    assert {name: list(values) for name, values in found.scores.items()} == {
        "transfer": [123, 1, 2],
        "transfer_weighted_loss": [123, 1],
    }
    values = list(found.macro_f1("transfer").values())
    assert values == sorted(values)
    differences = found.differences("transfer_weighted_loss", "transfer")
    assert list(differences) == [123, 1]
    assert all(value > 0 for value in differences.values())


def test_the_usual_seed_is_what_others_repeat(tmp_path: Path) -> None:
    for seed in (1, 2):
        study = STUDY.model_copy(update={"seed": seed})
        written(tmp_path, classifier("transfer", 0.9, study), classifier("baseline", 0.4, study))
    written(tmp_path, classifier("transfer", 0.6))
    [found] = repeats.repeats(load_all(tmp_path / "docs" / "results"))
    assert found.seeds == [123, 1, 2], "however few its entries, and whatever the scores"


def test_another_recipe_is_no_repeat(tmp_path: Path) -> None:
    other = classifier("transfer", 0.6, STUDY.model_copy(update={"seed": 1}))
    changed = other.recipe.model_copy(update={"learning_rate": 1e-5})
    written(tmp_path, classifier("transfer", 0.7), other.model_copy(update={"recipe": changed}))
    with pytest.raises(RecordError, match="transfer is no repeat"):
        repeats.repeats(load_all(tmp_path / "docs" / "results"))


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
    seeds = (123, 1, 2)
    made = {name: classifier(name, 0.6) for name in ("baseline", "weighted_loss")}
    study = Recorded("x", made["baseline"].settings, made)
    same = made["baseline"].test.model_copy(update={"macro_f1": 0.6})
    both = {
        "weighted_loss": {
            seed: same.model_copy(update={"macro_f1": value}) for seed, value in zip(seeds, scores, strict=True)
        },
        "baseline": dict.fromkeys(seeds, same),
    }
    told = tables.seeds(repeats.Repeated([study] * 3, both))
    line = next(line for line in told.splitlines() if line.startswith("Macro F1 of `weighted_loss`"))
    assert line.endswith(f": {words}.")


def leaking(root: Path, with_siblings: float, without: float) -> list[Recorded]:
    for split, skill in (("thesis", with_siblings), ("thesis_without_siblings", without)):
        study = STUDY.model_copy(update={"split": split})
        written(root, classifier("transfer", 0.6, study, siblings=skill))
    written(root, classifier("transfer", 0.6))
    return load_all(root / "docs" / "results")


def test_the_leak_is_measured_on_the_images_that_leak(tmp_path: Path) -> None:
    [found] = leak.leaks(leaking(tmp_path, 0.9, 0.5))
    images = found.with_siblings.images
    assert found.leaking.images == sum(one.sibling for one in images)
    assert found.others.images == len(images) - found.leaking.images
    rows = np.array([one.sibling for one in images])
    wanted = [float((one.said == one.labels)[rows].mean()) for one in (found.with_siblings, found.without)]
    accuracy = found.leaking.gains[0]
    assert (accuracy.measure, accuracy.with_siblings, accuracy.without) == ("accuracy", *map(pytest.approx, wanted))
    assert accuracy.found.difference == pytest.approx(wanted[0] - wanted[1])
    assert all(gain.p_holm < 0.05 and gain.found.difference > 0 for gain in found.leaking.gains)
    gains = [gain for part in (found.leaking, found.others, found.every) for gain in part.gains]
    assert [gain.p_holm for gain in gains] == bootstrap.holm([gain.found.p for gain in gains]), "one question"
    assert np.add(found.leaking.counts, found.others.counts).tolist() == found.every.counts
    assert all(gain.found.difference == 0 and gain.p_holm == 1 for gain in found.others.gains)


def test_a_leak_needs_the_same_images(tmp_path: Path) -> None:
    studies = leaking(tmp_path, 0.9, 0.5)
    assert leak.leaks([one for one in studies if one.settings.split != "thesis"]) == []
    other = next(one for one in studies if one.settings.split == "thesis")
    record = other.classifiers["transfer"]
    other.classifiers["transfer"] = record.model_copy(update={"images": record.images[::-1]})
    with pytest.raises(RecordError, match="different test images"):
        leak.leaks(studies)
