"""The table of entries says in few words what differs."""

import json
import os
from pathlib import Path

import pytest

from lesions.files import file_lock
from lesions.split import PARTS
from zoo.build import listing, prepare
from zoo.entry import catalog
from zoo.kinds.base import Data, RecipeError
from zoo.study import Folders, Study


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("baseline", "nothing"),
        ("transfer_frozen_2", "pretrained, only the last 2 tensors train"),
        ("gan_3", "goes on from gan_2, weighted cross entropy"),
        ("sagan", "nothing"),
    ],
)
def test_an_entry_in_few_words(name: str, output: str) -> None:
    assert listing.describe_options(catalog()[name]) == output


def test_every_entry_can_be_described() -> None:
    messages = {name: listing.describe_options(entry) for name, entry in catalog().items()}
    assert "diffaugment by translation" in messages["projected"]
    assert not [words for words in messages.values() if "[" in words or "None" in words], "no Python among the words"
    assert len(set(messages.values())) == len(messages) - 1, "but for the two baselines, each differs from every other"


def study_of(images_of_a_class: int, folder: Path) -> tuple[Folders, Data]:
    folders = Folders("mine", folder)
    counts = dict.fromkeys(PARTS, [images_of_a_class] * 7)
    data = Data(store_sha256="a" * 64, split_sha256="b" * 64, counts=counts, mean=[0.5] * 3, std=[0.2] * 3)
    folders.runs.mkdir(parents=True)
    folders.data.write_text(data.model_dump_json())
    (folders.runs / "study.json").write_text(Study().model_dump_json())
    return folders, data


def test_an_entry_that_is_impossible_here_is_no_error_of_the_table(tmp_path: Path) -> None:
    folders, data = study_of(2, tmp_path)
    with pytest.raises(RecipeError, match=r"one cycle needs 10 steps .*; leave it out: make zoo ENTRIES=\.\.\."):
        prepare.resolve_recipes(Study(), data, catalog())
    states = {row.entry: row.state for row in listing.rows(folders, catalog())}
    assert {states[name] for name in ("one_cycle", "adjusted", "views", "ensemble")} == {"impossible here"}
    assert states["baseline"] == states["gan_3"] == "to train"


def test_states(tmp_path: Path) -> None:
    folders, data = study_of(9, tmp_path)
    run, archive = folders.run("baseline"), folders.archives / "baseline.mar"
    run.mkdir()
    archive.parent.mkdir(parents=True)
    recipe = prepare.resolve_recipes(Study(), data, catalog(), ["baseline"])["baseline"]
    scores = {"valid": {"macro_f1": 0.5}, "test": {"macro_f1": 0.25, "macro_f1_interval": [0.2, 0.3]}}

    def baseline() -> tuple[str, str, str]:
        [row] = [row for row in listing.rows(folders, catalog()) if row.entry == "baseline"]
        return row.valid, row.test, row.state

    assert baseline() == ("", "", "to train")
    with file_lock(run):
        assert baseline() == ("", "", "in training")
    (run / "last.ckpt").touch()
    assert baseline() == ("", "", "interrupted")
    (run / "scores.json").write_text(json.dumps(scores | {"recipe_sha256": "of an earlier recipe"}))
    assert baseline() == ("", "", "to train")
    (run / "scores.json").write_text(json.dumps(scores | {"recipe_sha256": recipe.sha256}))
    (run / "weights.safetensors").touch()
    known = ("0.500", "0.250 (0.20 to 0.30)")
    assert baseline() == (*known, "trained")
    archive.touch()
    assert baseline() == (*known, "archived")
    os.utime(archive, (0, 0))  # older than its weights: it is packed again
    assert baseline() == (*known, "trained")
