"""Model cards: what they must say, for whatever is known of an entry."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lesions import split
from lesions.index import Index
from lesions.labels import CLASSES, DATA_LICENSE, MIXED_LICENSE, NOTICE, UNKNOWN_LICENSE
from zoo.metrics.calibration import Logits, calibrate
from zoo.metrics.scores import Predictions, score
from zoo.packaging.card import license_of, markdown
from zoo.study import Folders

HEADINGS = (
    "Model details",
    "Intended use and limits",
    "Factors",
    "Data and license",
    "Recipe",
    "Scores",
    "Calibration",
    "Ethical considerations",
    "Provenance",
)


def entry_of_a_classifier() -> dict[str, Any]:
    labels = np.arange(140) % 7
    values = 2 * np.eye(7)[labels] + np.random.default_rng(0).normal(size=(140, 7))
    messages = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    test = score(Predictions(labels, messages, [str(k) for k in range(140)])).model_dump()
    output = Logits(values, labels)
    natural = np.array([1, 1, 1, 1, 1, 10, 1]) / 16
    return {
        "entry": "balanced_sampling",
        "study": "ham10000-small",
        "kind": "classifier",
        "about": "Does balance help?",
        "thesis": {"section": "4.2", "macro_f1": 0.4},
        "notice": NOTICE,
        "data": "ham10000",
        "data_licence": DATA_LICENSE,
        "architecture": "tf_efficientnet_lite0",
        "pixels": 64,
        "classes": list(CLASSES),
        "recipe": {"entry": "balanced_sampling", "draws": [7011, 7011, 5000], "real": True, "store_sha256": "hidden"},
        "scores": {"best_epoch": 2, "valid": test, "test": test},
        "calibration": calibrate(output, output, natural, np.full(7, 1 / 7)).model_dump(exclude_none=True),
        "weights_sha256": "0123abcd",
        "split_sha256": "4567",
        "versions": {"torch": "2"},
        "hardware": "a machine",
        "commit": "89ab",
    }


def test_a_classifiers_card() -> None:
    entry = entry_of_a_classifier()
    text = markdown(entry)
    assert text == markdown(dict(reversed(entry.items())))
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(HEADINGS)
    test, calibration = entry["scores"]["test"], entry["calibration"]
    one = test["classes"]["mel"]
    for output in (
        "# Model card: balanced_sampling",
        NOTICE,
        DATA_LICENSE,
        "Does balance help? (thesis, section 4.2)",
        "draws, by epoch: 7,011 x 2, 5,000 x 1",
        f"| macro F1 | {test['macro_f1']:.3f} | {test['macro_f1_interval'][0]:.3f} to ",
        f"| mel | melanoma | {one['precision']:.3f} | {one['recall']:.3f} | {one['f1']:.3f} | ",
        f"| {one['f1_interval'][0]:.3f} to {one['f1_interval'][1]:.3f} | 20 |",
        f"a temperature of {calibration['temperature']}",
        f"| {calibration['uncalibrated']['test']['nll']:.3f} |",
        "prior corrected too, not served",
        "weights: sha256 0123abcd",
        "split: sha256 4567",
        "commit: 89ab",
    ):
        assert output in text, output
    assert "hidden" not in text
    assert "\n\n\n" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize("recipe", [{"keep": "last"}, {"draws": [], "batch": 20}], ids=["last", "untrained"])
def test_what_was_not_chosen_is_not_called_chosen(recipe: dict[str, Any]) -> None:
    entry = entry_of_a_classifier()
    assert "epoch and temperature were chosen on validation" in markdown(entry)
    assert "- best epoch, by validation: 2" in markdown(entry)
    entry["recipe"] |= recipe
    text = markdown(entry)
    assert "; the temperature was fitted on validation;" in text
    assert "best epoch" not in text
    assert "- epoch kept, the last one: 2" in text


def test_no_correction_is_mentioned_where_there_is_none() -> None:
    entry = entry_of_a_classifier()
    assert "The correction for the class shares" in markdown(entry)
    del entry["calibration"]["prior_corrected"]
    entry["calibration"]["temperature"] = 0.752162467092892
    assert "correct" not in markdown(entry).partition("## Calibration")[2].partition("## Ethical")[0]
    assert "a temperature of 0.7522, fitted on validation, which changes no label.\n" in markdown(entry)


@pytest.mark.parametrize(
    "lost", ["calibration", "scores", "recipe", "thesis", "about", "hardware", "commit", "versions"]
)
def test_what_is_not_known_is_left_out(lost: str) -> None:
    entry = entry_of_a_classifier()
    del entry[lost]
    assert markdown(entry).startswith("# Model card: balanced_sampling\n")
    assert "None" not in markdown(entry | {"data_licence": None, "thesis": None})


def test_other_data_have_a_license_of_their_own() -> None:
    text = markdown(entry_of_a_classifier() | {"data": "clinic", "data_licence": UNKNOWN_LICENSE})
    assert f"which may bind these weights, too: {UNKNOWN_LICENSE}" in text
    assert not [name for name in ("Tschandl", "Vienna", "Queensland", "procedural") if name in text]


def test_options_are_left_out_where_they_are_off_and_not_where_they_are_one() -> None:
    entry = entry_of_a_classifier()
    entry["recipe"] |= {"seed": 1, "logit_adjustment": 1.0, "threads": 1, "views": 1}
    text = markdown(entry)
    assert "- seed: 1\n" in text
    assert "- logit adjustment: 1.0\n" in text
    assert "threads" not in text
    assert "views" not in text
    entry["recipe"] |= {"threads": 2, "views": 8}
    assert "- threads: 2\n" in markdown(entry)
    assert "- views: 8\n" in markdown(entry)


def test_an_uncalibrated_entry_says_so() -> None:
    entry = entry_of_a_classifier()
    del entry["calibration"]
    assert "Not calibrated: probabilities are the network's own." in markdown(entry)


def test_a_generators_card_is_short() -> None:
    text = markdown(
        {
            "entry": "sagan",
            "study": "tests",
            "kind": "generator",
            "notice": NOTICE,
            "pixels": 32,
            "width": 4,
            "data": "phantom: procedural pictures, no patients' data",
            "data_licence": None,
            "recipe": {"steps": 100, "pool": {"mel": 3}},
            "scores": {"best_step": 50, "distance": 0.5},
            "weights_sha256": "0123abcd",
        }
    )
    assert "lesion_generator/sagan" in text
    assert "synthetic" in text
    assert "distance: 0.5" in text
    assert "pool: mel 3" in text
    assert "## Scores" not in text
    assert DATA_LICENSE not in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("images", "license_"),
    [
        (("ISIC_0024306", "part/ISIC_0034320.jpg"), DATA_LICENSE),
        (("ISIC_0024306", "ISIC_0034321"), MIXED_LICENSE),
        (("mine", "ISIC_0024305"), UNKNOWN_LICENSE),
    ],
)
def test_the_license_goes_by_the_names_of_the_images(tmp_path: Path, images: tuple[str, ...], license_: str) -> None:
    folders = Folders("clinic", tmp_path)
    index = Index.of([(image, 5, image) for image in images])
    folders.runs.mkdir(parents=True)
    split.write(folders.split, index, np.zeros(len(images), dtype=np.int64))
    assert license_of(folders) == license_
    text = markdown(entry_of_a_classifier() | {"data_licence": license_})
    assert f": {license_}" in text
    assert ("Vienna" in text) == (license_ == DATA_LICENSE)
    assert ("Tschandl" in text) == (license_ != UNKNOWN_LICENSE)
