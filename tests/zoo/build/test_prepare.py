"""The first step of `make zoo`: what it writes, and that finding nothing to do is quick."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lesions import split, store
from zoo.build import prepare
from zoo.entry import EntryError, catalog
from zoo.kinds.classifier import Classifier
from zoo.study import Folders, Study, StudyError, settle

ROOT = Path(__file__).parents[3]


@pytest.fixture
def made(tiny: Path, tmp_path: Path) -> tuple[Folders, Study]:
    return settle({"data": str(tiny), "scale": "demo", "weights": "imagenet"}, "mine", tmp_path)


def test_what_the_data_turned_out_to_be(made: tuple[Folders, Study]) -> None:
    described = prepare.make_data(*made)
    folders, study = made
    loaded = store.load(folders.store(study))
    parts = split.read(folders.split, loaded.index.images)
    training = loaded.images[parts == 0] / 255
    assert described.mean == pytest.approx(training.mean((0, 1, 2)), abs=1e-6), "of the training split alone"
    assert [sum(counts) for counts in described.counts.values()] == np.bincount(parts).tolist()
    assert prepare.make_data(*made) == described


def test_a_split_that_was_edited_is_made_anew(made: tuple[Folders, Study]) -> None:
    described = prepare.make_data(*made)
    folders, _ = made
    text = folders.split.read_text()
    folders.split.write_text(text.replace(",train\n", ",test\n", 1))
    assert prepare.make_data(*made) == described
    assert folders.split.read_text() == text


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "\0\0"])
def test_what_is_known_of_the_data_is_found_out_again(made: tuple[Folders, Study], content: str) -> None:
    described = prepare.make_data(*made)
    folders, _ = made
    text = folders.data.read_text()
    folders.data.write_text(content)
    assert prepare.make_data(*made) == described
    assert folders.data.read_text() == text


def test_everything_is_written_once(made: tuple[Folders, Study]) -> None:
    folders, study = made
    entries = catalog()
    written = [prepare.resolve_recipes(study, prepare.make_data(*made), entries) for _ in range(2)]
    times = []
    for each in written:
        prepare.write(folders, study, entries, each)
        times.append({file: file.stat().st_mtime_ns for file in folders.runs.rglob("*.*")})
    assert times[0] == times[1]
    assert written[0].keys() == entries.keys()
    rules = (folders.runs / "entries.mk").read_text()
    needs = "$(RUNS)/source/weights.safetensors $(RUNS)/sagan/pool/manifest.json"
    assert f"$(RUNS)/gan_1/weights.safetensors: {needs}\n" in rules
    assert "SOURCES := source source.tf_efficientnet_lite1 source.tf_efficientnet_lite2\n" in rules
    own = json.loads((folders.runs / "source.tf_efficientnet_lite2" / "recipe.json").read_text())
    assert own == {"arch": "tf_efficientnet_lite2", "start": "imagenet"}
    assert "$(RUNS)/gan_1/weights.safetensors: TRAINER := train\n" in rules
    assert "$(RUNS)/sagan/weights.safetensors: TRAINER := gan\n" in rules
    [made_in_order] = re.findall("ENTRIES_MADE := (.*)", rules)
    order = made_in_order.split()
    assert order[:4] == ["gan_2", "projected_2", "gan_1", "projected_only"], "first what waits for a pool"
    assert order.index("transfer_oversampling") < order.index("baseline") < order.index("sagan"), "the longest first"
    assert "$(ARCHIVES)/sagan.mar: handlers/lesion_generator.py handlers/" in rules


def test_what_is_wanted_brings_what_it_needs(made: tuple[Folders, Study]) -> None:
    needed = prepare.resolve_recipes(made[1], prepare.make_data(*made), catalog(), ["gan_3"])
    assert list(needed) == ["sagan", "gan_2", "gan_3"], "each after those that it requires"
    with pytest.raises(EntryError, match="no entry nobody; there are: "):
        prepare.check_names(catalog(), ["nobody"])


def test_weights_that_have_gone_are_named(made: tuple[Folders, Study]) -> None:
    gone = made[1].model_copy(update={"weights": "/nowhere/x.safetensors"})
    with pytest.raises(StudyError, match=r"WEIGHTS=/nowhere/x\.safetensors: No such file"):
        prepare.resolve_recipes(gone, prepare.make_data(*made), {"baseline": Classifier(about="x")})


def test_an_archive_without_an_entry_is_deleted_by_a_step_of_its_own(made: tuple[Folders, Study]) -> None:
    folders, study = made
    folders.archives.mkdir(parents=True)
    for name in ("baseline", "renamed"):
        (folders.archives / f"{name}.mar").touch()
    prepare.write(folders, study, catalog(), prepare.resolve_recipes(study, prepare.make_data(*made), catalog()))
    assert len(list(folders.archives.iterdir())) == 2
    [message] = prepare.remove_orphans(folders, catalog())
    assert message.endswith("renamed.mar: there is no such entry any more")
    assert [file.name for file in folders.archives.iterdir()] == ["baseline.mar"]


def test_finding_nothing_to_do_imports_no_torch() -> None:
    modules = "zoo.__main__, zoo.build.prepare, zoo.build.listing, zoo.packaging.card, zoo.packaging.archive"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
