"""docs/results.md: what must stand on it, and that the one in the repository is what the command writes."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from compare.records.effects import Effect
from compare.records.markdown import templates
from compare.records.page import PAGE, _options, page, publish
from compare.records.record import RESULTS, Settings
from compare.records.studies import StudyRecords, load_all
from tests.compare.records.made_up import STUDY, classifier, generator, write
from zoo.entry import catalog
from zoo.kinds.classifier import Classifier, ClassifierRecipe
from zoo.metrics.bootstrap import Difference
from zoo.study import settle

ROOT = Path(__file__).parents[3]


def test_the_page_in_the_repository_is_what_the_command_writes() -> None:
    studies = load_all(ROOT / RESULTS)
    assert studies, "no records"
    text, pictures = page(studies, catalog())
    assert (ROOT / PAGE).read_text(encoding="utf-8") == text, "write it again: python -m compare results"
    for name in pictures:
        assert (ROOT / RESULTS / name).is_file(), "write it again: python -m compare results"


def test_records_in_the_repository_hold_no_path_and_no_picture() -> None:
    files = list((ROOT / RESULTS).rglob("*"))
    assert any(file.suffix == ".json" for file in files), "no records"
    for file in files:
        if file.suffix == ".json":
            content = file.read_text(encoding="utf-8")
            assert file.stat().st_size < 250_000
            assert '"/' not in content
        assert file.is_dir() or file.suffix in (".json", ".png")


def test_records_in_the_repository_belong_together() -> None:
    """A digest is computed from a recipe's fields: a change of the schema must not change it."""
    generators, parents = {}, {}
    studies = load_all(ROOT / RESULTS)
    # A generator is recorded where it was trained: other seeds' studies copy it from there.
    trained = {record.recipe.sha256 for study in studies for record in study.generators.values()}
    for study in studies:
        for name, record in study.classifiers.items():
            for before, sha256 in record.made_from.items():
                assert sha256 == study.classifiers[before].recipe.sha256
            if isinstance(record.recipe, ClassifierRecipe) and record.recipe.generator is not None:
                generators[name] = record.recipe.generator
                assert record.recipe.generator_sha256 in trained
            if record.parent:
                parents[name] = record.parent
    assert generators == {"gan_1": "sagan", "gan_2": "sagan", "projected_2": "projected", "projected_only": "projected"}
    assert parents == {"gan_3": "gan_2", "views": "adjusted"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page")
    skills = {"baseline": 0.3, "weighted_loss": 0.3, "transfer": 0.6, "transfer_weighted_loss": 0.85}
    skills |= {"transfer_oversampling": 0.3, "transfer_frozen_2": 0.4}
    write(made, *(classifier(name, skill) for name, skill in skills.items()), generator("sagan"))
    for key, value in (("seed", 1), ("split", "thesis"), ("split", "thesis_without_siblings")):
        study = STUDY.model_copy(update={key: value})
        siblings = 0.9 if value == "thesis" else 0.5
        write(made, classifier("transfer", 0.65, study, siblings=siblings))
    publish(made, catalog())
    return made


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / PAGE).read_text(encoding="utf-8")


def test_every_row_of_the_thesis_is_there_in_its_order(text: str) -> None:
    table = text.partition(f"## {STUDY.name}\n")[2].partition("![")[0]
    rows = [line.split(" | ") for line in table.splitlines() if re.match(r"\| \d", line)]
    sections = [[int(part) for part in row[0].strip("| ").split(".")] for row in rows]
    assert sections == sorted(sections)
    names = [row[1].strip("`") for row in rows]
    of_thesis = {
        name for name, entry in catalog().items() if isinstance(entry, Classifier) and entry.thesis is not None
    }
    assert set(names) == of_thesis
    absent = [row[1] for row in rows if "not trained (yet)" in row]
    assert len(absent) == len(rows) - 6
    assert "`gan_1`" in absent
    baseline = next(row for row in rows if row[1] == "`baseline`")
    assert baseline[3:5] == ["0.34", "0.63"]
    assert baseline[-1].startswith("10 min")


def test_what_did_not_help_is_said_as_plainly_as_what_did(text: str) -> None:
    assert (
        "- Macro F1: **helped**: `transfer_weighted_loss`; **hurt**: `transfer_oversampling`, `transfer_frozen_2`; "
        "**no difference that this test set can show**: nothing." in text
    )
    assert (
        "- Macro F1: **helped**: `transfer`; **hurt**: nothing; "
        "**no difference that this test set can show**: `weighted_loss`." in text
    )
    rare = "Do the rare classes (akiec, bcc, df, vasc) gain from augmentation, weighting, sampling or synthetic images?"
    assert rare in text


def test_the_page_in_short(text: str) -> None:
    short = text.partition("## In short\n")[2].partition("\n## ")[0].splitlines()
    assert re.match(
        r"- Of 6 classifiers `transfer_weighted_loss` validates best \(macro F1 0\.844\); on the test ", short[0]
    )
    assert short[1].startswith("- Macro F1 against `transfer`: shown higher for `transfer_weighted_loss` (+0.")
    assert "lower for `transfer_oversampling` (-0." in short[1]
    assert short[1].endswith("; no difference shown: 0 of 3.")
    assert short[2].endswith("lower for none; no difference shown: 1 of 2.")
    assert (
        "- Rare classes with sampling, alone or with others (1 entry, each against the same start without): mean F1 "
        "shown higher for 0, lower for 1 (`transfer_oversampling`), no difference shown: 0; mean recall shown "
        "higher for 0, lower for 1 (`transfer_oversampling`), no difference shown: 0." in short
    )
    assert re.match(r"- Another seed alone moves `transfer`, too \(2 seeds of .*\): macro F1 from 0\.\d+ to", short[5])
    assert re.match(
        r"- The leak of .*, with `transfer` \(one training each way, seed 123; .*\): on the 95 test .*, "
        r"accuracy \+0\.\d+, .*; on the 185 others, accuracy \+0\.000, .*; on all, accuracy \+0\.\d+, ",
        short[6],
    )
    assert len(short) == 7


def test_each_effect_is_against_its_own_reference() -> None:
    effects = [
        Effect(f"gan_{fill_up}", f"duplicates_{fill_up}", "macro F1", Difference(0.1, (0.05, 0.15), 0.001, 0.001))
        for fill_up in (1, 2)
    ]
    macros: Any = templates().get_template("sentences.md.j2").module
    sentences = " ".join(macros.against_reference(effects).split())
    for fill_up in (1, 2):
        assert f"Macro F1 against `duplicates_{fill_up}`: shown higher for `gan_{fill_up}` (" in sentences


def test_calibration_of_natural_classes_and_of_others(tmp_path: Path) -> None:
    corrected = {"temperature": 1.5, "prior_corrected": {"test": {"macro_f1": 0.61, "ece": 0.02, "nll": 0.4}}}
    write(tmp_path, classifier("transfer", 0.6), classifier("transfer_oversampling", 0.5, calibration=corrected))
    publish(tmp_path, catalog())
    table = (tmp_path / PAGE).read_text(encoding="utf-8").partition("| entry | temperature |")[2]
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    natural, other = ([cell.strip(" |") for cell in row] for row in rows)
    assert natural[:2] == ["`transfer`", "1.00"]
    assert not any(natural[4:])
    assert other[:2] + other[4:] == ["`transfer_oversampling`", "1.50", "0.610", "0.020", "0.400"]


def test_nothing_in_short_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    write(tmp_path, generator("sagan"))
    publish(tmp_path, catalog())
    assert "In short" not in (tmp_path / PAGE).read_text(encoding="utf-8")


def test_what_p_values_mean_is_said(text: str) -> None:
    assert "A p value speaks of two checkpoints" in text
    assert "only repeats over seeds speak" in text
    assert "For research only" in text


def test_seeds_leak_and_generators(text: str) -> None:
    assert "| entry | measure | seed 123 | seed 1 | mean | highest less lowest |" in text
    assert "| 280 in all | macro F1 |" in text
    assert re.search(r"without the siblings of\s+\d+ test images", text)
    assert "on exactly these test images: accuracy higher by" in text
    assert "which lost no sibling: no difference that these images can show" in text
    assert "| real training images (the floor) |  | 0.011 |" in text
    assert "Generators not trained (yet): `projected`." in text
    assert "make zoo DATA=~/ham10000 SCALE=small WEIGHTS=~/w.safetensors ARCH=mobilenetv2_100 SEED=1 ENTRIES=" in text
    assert "SPLIT=thesis_without_siblings" in text


def test_pictures_are_there_and_no_more_than_they_should_be(root: Path, text: str) -> None:
    named = set(re.findall(r"\]\((results/.+?\.png)\)", text))
    assert {str(file.relative_to(root / "docs")) for file in (root / RESULTS).rglob("*.png")} == named
    for name in named:
        with Image.open(io.BytesIO((root / "docs" / name).read_bytes())) as picture:
            assert picture.width > 500
    assert not list((root / "docs").rglob("*.part"))


def test_it_is_the_same_every_time(root: Path, text: str) -> None:
    again = page(load_all(root / RESULTS), catalog())
    assert again[0] == text
    assert all((root / RESULTS / name).read_bytes() == content for name, content in again[1].items())


def test_a_picture_of_a_question_that_is_gone_goes(tmp_path: Path) -> None:
    files = write(tmp_path, classifier("transfer", 0.6), classifier("gan_2", 0.6))
    publish(tmp_path, catalog())
    assert (files[0].parent / "question_transfer.png").is_file()
    own = files[0].parent / "canvas.png"
    own.touch()
    files[1].unlink()
    publish(tmp_path, catalog())
    assert not (files[0].parent / "question_transfer.png").exists()
    assert own.exists()


def test_without_records_it_says_so() -> None:
    assert "Nothing is recorded yet." in page([], catalog())[0]


def test_generators_alone_and_one_entry_alone(tmp_path: Path) -> None:
    write(tmp_path, generator("sagan"))
    publish(tmp_path, catalog())
    output = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "No classifier is recorded." in output
    write(tmp_path, classifier("gan_2", 0.6))
    publish(tmp_path, catalog())
    assert "### Is anything better" not in (tmp_path / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "given",
    [
        {"scale": "small", "split": "fold3"},
        {"scale": "small", "split": "fold1", "seed": "123"},
        {"scale": "small", "split": "fold1", "generator_seed": "123", "threads": "2"},
        {"scale": "demo", "seed": "7", "arch": "mobilenetv2_100"},
        {"scale": "paper", "split": "thesis", "scc": "akiec"},
    ],
)
def test_the_command_makes_the_same_study(given: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "ham10000"
    data.mkdir()
    folders, study = settle({"data": str(data), **given}, None, tmp_path)
    settings = Settings.model_validate(study.model_dump() | {"data": "ham10000"})
    command = _options(StudyRecords(folders.name, settings), ())
    options = dict(re.findall(r"(\w+)=(\S+)", command))
    assert options.pop("DATA") == "~/ham10000"
    again, _ = settle({"data": str(data)} | {key.lower(): value for key, value in options.items()}, None, tmp_path)
    assert again.name == folders.name
