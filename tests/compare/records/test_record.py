"""Records: that they agree with the run, and which runs and files are refused."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compare.records import recording
from compare.records.record import ClassifierRecord, GeneratorRecord, RecordError, differing, load, save, text
from compare.records.studies import load_all
from lesions import split
from lesions.labels import CLASSES
from lesions.sources import open_source
from tests.compare.records.finished_run import leave
from tests.compare.records.made_up import STUDY, classifier, generator, write
from zoo.entry import catalog
from zoo.study import Folders, Study

ROOT = Path(__file__).parents[3]
THESIS = STUDY.model_copy(update={"split": "thesis"})
WITHOUT = STUDY.model_copy(update={"split": "thesis_without_siblings"})


def record(folders: Folders, name: str = "transfer") -> ClassifierRecord:
    made = recording.record(folders, name, catalog()[name])
    assert isinstance(made, ClassifierRecord)
    return made


@pytest.mark.parametrize("study", [STUDY, THESIS, WITHOUT])
def test_a_record_says_what_the_run_says(tmp_path: Path, study: Study) -> None:
    wanted = classifier("transfer", 0.7, study)
    result = record(leave(tmp_path, wanted, study))
    assert result.test == wanted.test
    assert result.images == wanted.images, "with which of them leak"
    assert (result.study, result.settings, result.differs) == (wanted.study, wanted.settings, "pretrained")
    assert (result.hardware, result.seconds, result.commit) == (wanted.hardware, wanted.seconds, wanted.commit)
    leaking = sum(one.sibling for one in result.images)
    assert (leaking > 0) == (study.split != "lesion")
    content = text(result)
    assert str(tmp_path) not in content
    assert '"/' not in content, "no path of a machine"


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = leave(tmp_path, classifier("transfer", 0.7), STUDY)
    file = save(tmp_path / "results", record(folders))
    content, changed = file.read_bytes(), file.stat().st_mtime_ns
    assert save(tmp_path / "results", record(folders)).stat().st_mtime_ns == changed, "unchanged, so not written"
    assert text(load(file)).encode() == content
    assert load(file) == ClassifierRecord.model_validate_json(content)


def test_what_another_training_changed_is_named(tmp_path: Path) -> None:
    one = classifier("transfer", 0.7)
    assert differing(tmp_path, one) is None
    file = save(tmp_path, one)
    assert differing(tmp_path, one) == []
    assert differing(tmp_path, one.model_copy(update={"seconds": 1.5, "commit": "f" * 40})) == ["commit", "seconds"]
    assert "images" in (differing(tmp_path, classifier("transfer", 0.6)) or [])
    for damaged in ("{", "[]"):
        file.write_text(damaged)
        assert differing(tmp_path, one) != []


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("transfer/recipe.json", '"batch": 80', '"batch": 40', "recipe, weights and scores do not belong together"),
        ("transfer/scores.json", '"recipe_sha256": "', '"recipe_sha256": "0', "do not belong together"),
        ("transfer/weights.safetensors", 'sha256\\": \\"', 'sha256\\": \\"0', "do not belong together"),
        ("transfer/predictions.csv", "0.7000000,0.0500000", "0.0500000,0.7000000", "are not of one training"),
        ("transfer/predictions.csv", "ISIC_0000003,test", "ISIC_0000003,valid", "is not of the split's test images"),
        ("transfer/scores.json", '"last_epoch"', '"last"', "cannot be read .*'last_epoch'.*train it again"),
        ("transfer/scores.json", '"macro_f1_interval"', '"x"', "cannot be read .*train it again"),
        ("transfer/training.json", "{", "", "training.json is damaged; run `make zoo` again"),
        ("split.csv", "OTHER,HAM_other,nv,train", "OTHER,HAM_other,nv,valid", "trained on another split"),
        ("data.json", '"split_sha256": "', '"split_sha256": "0', "trained on another split"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    folders = leave(tmp_path, classifier("transfer", 0.7), STUDY)
    place = folders.runs / file
    content = place.read_bytes()
    assert old.encode() in content
    changed = content.replace(old.encode(), new.encode(), 1)
    if file.endswith("safetensors"):  # its header says how long it is
        changed = (len(changed) - 8).to_bytes(8, "little") + changed[8:]
    place.write_bytes(changed)
    with pytest.raises(RecordError, match=message):
        record(folders)


def test_what_is_not_trained_is_named(tmp_path: Path) -> None:
    folders = leave(tmp_path, classifier("transfer", 0.7), STUDY)
    assert recording.finished(folders, catalog()) == ["transfer"]
    with pytest.raises(RecordError, match="baseline is not trained in study"):
        recording.record(folders, "baseline", catalog()["baseline"])


def test_a_child_is_not_read_without_its_parent(tmp_path: Path) -> None:
    child, parent = write(tmp_path, classifier("gan_3", 0.7), classifier("gan_2", 0.6))
    [study] = load_all(tmp_path / "docs" / "results")
    assert set(study.classifiers) == {"gan_2", "gan_3"}
    known = json.loads(parent.read_text())
    parent.write_text(json.dumps(known | {"recipe": known["recipe"] | {"batch": 3}}))
    with pytest.raises(RecordError, match=r"gan_3 was made from gan_2, and this is not its record; .* record gan_2"):
        load_all(tmp_path / "docs" / "results")
    parent.unlink()
    with pytest.raises(RecordError, match="gan_3 was made from gan_2"):
        load_all(tmp_path / "docs" / "results")
    assert child.exists()


def test_records_are_of_one_study_and_of_what_they_are_called(tmp_path: Path) -> None:
    one, other = write(tmp_path, classifier("transfer", 0.7), classifier("baseline", 0.3))
    [generated] = write(tmp_path, generator("sagan"))
    [study] = load_all(tmp_path / "docs" / "results")
    assert list(study.classifiers) == ["baseline", "transfer"], "in the thesis's order"
    assert list(study.generators) == ["sagan"]
    assert load(generated) == generator("sagan")

    known = json.loads(other.read_text())
    for change, message in (
        ({"entry": "transfer"}, "records are not renamed"),
        ({"best_epoch": "x"}, "no record: .*best_epoch"),
        ({"surprise": 1}, "no record: .*surprise"),
        ({"images": known["images"][:-1]}, "its scores are not those of its images"),
        ({"settings": known["settings"] | {"seed": 7}}, "other settings, images or split than those of"),
    ):
        other.write_text(json.dumps(known | change))
        with pytest.raises(RecordError, match=message):
            load_all(tmp_path / "docs" / "results")
    renamed = [["ISIC_other", *known["images"][0][1:]], *known["images"][1:]]
    other.write_text(json.dumps(known | {"images": renamed}))
    with pytest.raises(RecordError, match="other test images than those of"):
        load_all(tmp_path / "docs" / "results")
    other.write_text("{")
    with pytest.raises(RecordError, match=r"baseline\.json: no record"):
        load_all(tmp_path / "docs" / "results")
    assert one.stat().st_size < 250_000


def test_rounding_changes_no_predicted_class(tmp_path: Path) -> None:
    made = classifier("transfer", 0.7)
    folders = leave(tmp_path, made, STUDY)
    file = folders.run("transfer") / "predictions.csv"
    lines = file.read_text().splitlines()
    cells = lines[1].split(",")
    first = cells.index("0.7000000")
    other = 4 if first == 3 else 3
    cells[first], cells[other] = "0.3500040", "0.3499960"
    file.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    result = record(folders)
    assert result.predicted.tolist() == made.predicted.tolist()
    assert (
        sorted(result.images[0].probabilities)[-2:] == [0.35, 0.35] or result.images[0].probabilities[first - 3] > 0.35
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = (
        f"import pathlib, sys; sys.path.insert(0, {str(ROOT)!r}); import zoo.study; zoo.study.ROOT = pathlib.Path.cwd()"
    )
    code = f"{root}; from compare.__main__ import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_generator_that_went_astray_can_be_recorded(tmp_path: Path) -> None:
    astray = generator("sagan").model_copy(update={"failed": True, "last": {"step": 1000, "kid": math.nan}})
    [file] = write(tmp_path, astray)
    result = load(file)
    assert isinstance(result, GeneratorRecord)
    assert result.last == {"step": 1000, "kid": None}


@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("HAM10000"), reason="set HAM10000=folder")
@pytest.mark.parametrize(("how", "leaking"), [("thesis", 545), ("thesis_without_siblings", 545), ("lesion", 0)])
def test_which_images_of_ham10000_leak(tmp_path: Path, how: split.SplitName, leaking: int) -> None:
    index = open_source(Path(os.environ["HAM10000"]).expanduser()).index
    split.write(tmp_path / "split.csv", index, parts := split.split(index, how))
    lines = [f"image,part,label,{','.join(CLASSES)}"]
    rows = zip(index.images, index.labels, parts, strict=True)
    lines += [f"{image},test,{CLASSES[label]},1,0,0,0,0,0,0" for image, label, part in rows if part == 2]
    (tmp_path / "predictions.csv").write_text("\n".join(lines) + "\n")
    images = recording.image_records("x", tmp_path / "predictions.csv", tmp_path / "split.csv")
    assert sum(image.sibling for image in images) == leaking


def test_torch_is_not_needed_for_the_page() -> None:
    code = "import sys, compare.__main__, compare.records.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_commands(tmp_path: Path) -> None:
    folders = leave(tmp_path, classifier("transfer", 0.7), STUDY)
    done = run(tmp_path, "record", "--study", folders.name)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"docs/results/{folders.name}/transfer.json (new)\n"
    again = run(tmp_path, "record", "--study", folders.name)
    assert again.stdout == f"docs/results/{folders.name}/transfer.json (as before)\n"
    done = run(tmp_path, "results")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "docs" / "results.md").read_text()
    assert f"## {folders.name}" in page
    for arguments, message in (
        (("record", "nobody", "--study", folders.name), "error: no entry nobody; there are: "),
        (("record", "baseline", "--study", folders.name), "error: baseline is not trained in study"),
        (("record", "--study", "nowhere"), "error: no study 'nowhere'; there are: "),
    ):
        done = run(tmp_path, *arguments)
        assert (done.returncode, done.stderr[: len(message)]) == (2, message)
        assert len(done.stderr.splitlines()) == 1
    (tmp_path / "docs" / "results" / folders.name / "transfer.json").write_text("{}")
    done = run(tmp_path, "results")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert (tmp_path / "docs" / "results.md").read_text() == page, "nothing half-written"
