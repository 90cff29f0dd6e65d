"""An ensemble of two trained networks: its weights, its predictions, its archive; and what makes it stale."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare.records import record, recording
from lesions import store
from lesions.labels import CLASSES
from tests.train.commands import ENTRIES, prepare_pretrained, train
from zoo.build import ensemble, prepare
from zoo.entry import EntryError, read
from zoo.kinds import Entry
from zoo.kinds.ensemble import Ensemble
from zoo.library import load
from zoo.metrics import predictions
from zoo.models import ensemble_graph
from zoo.packaging import archive, card
from zoo.serving.torchserve.archiver import pack
from zoo.study import Folders, StudyError

pytestmark = pytest.mark.slow

BOTH = Ensemble(kind="ensemble", about="x", members=["pretrained", "views"])


def resolve(folders: Folders, entries: dict[str, Entry]) -> None:
    study = folders.read()
    recipes = prepare.resolve_recipes(study, prepare.make_data(folders, study), entries)
    prepare.write(folders, study, entries, recipes)


@pytest.fixture
def trained(folders: Folders) -> Folders:
    resolve(folders, ENTRIES | {"both": BOTH})
    prepare_pretrained(folders)
    train(folders, "pretrained", "modern", "views")
    return folders


def test_it_is_fitted_on_validation_and_predicts_the_mean_of_logarithms(
    trained: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained.run("both")
    ensemble.make(trained, "both")
    report = json.loads((run / "scores.json").read_text())
    tables = {name: predictions.read(trained.run(name) / "predictions.csv") for name in ("pretrained", "views", "both")}
    temperature, weights = report["calibration"]["temperature"], report["members"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    factors = [weight / temperature for weight in weights.values()]
    single = np.stack([tables[name].probabilities for name in weights])
    # Members' tables have seven decimals, weights four.
    assert tables["both"].probabilities == pytest.approx(ensemble_graph.mean(single, factors), abs=2e-3)
    best = min(json.loads((trained.run(name) / "scores.json").read_text())["valid"]["nll"] for name in weights)
    assert report["valid"]["nll"] <= best + 1e-4, "one member alone is one of the fits"
    assert set(report["challenge"]) <= set(CLASSES)
    assert set(report["malignancy"]["thresholds"]) == {"0.90", "0.95"}

    # Made again, it is the same, and is not made again.
    before = {
        file.name: file.read_bytes() for file in run.iterdir() if file.suffix in (".csv", ".onnx", ".safetensors")
    }
    ensemble.make(trained, "both")
    (run / "weights.safetensors").unlink()
    ensemble.make(trained, "both")
    assert {name: (run / name).read_bytes() for name in before} == before

    # An archive like any other: what it predicts is what was scored.
    described = card.entry(trained, "both")
    archive.pack(described, run / "model.onnx", tmp_path / "both.mar", pack)
    data = store.load(trained.store(trained.read()))
    loaded = load(tmp_path / "both.mar")
    for image in tables["both"].images[:5]:
        pixels = data.images[data.index.images.index(image)]
        found = loaded.predict(Image.fromarray(pixels))
        row = tables["both"].probabilities[tables["both"].images.index(image)]
        assert list(found.probabilities.values()) == pytest.approx(row, abs=1e-6)
    assert "a weighted mean of the logarithms" in card.markdown(described)

    # A record like any other.
    entries: dict[str, Entry] = ENTRIES | {"both": BOTH}
    recorded = [recording.record(trained, name, entries[name]) for name in ("pretrained", "modern", "views", "both")]
    files = [record.save(trained.root / "results", one) for one in recorded]
    again = record.load(files[-1])
    assert isinstance(again, record.ClassifierRecord)
    assert again.made_from.keys() == {"pretrained", "views"}
    assert again.malignancy is not None

    # Where no member says anything, there is no mean of them.
    with monkeypatch.context() as patched:
        patched.setattr(ensemble, "coefficients", lambda *_: np.zeros(2))
        (run / "weights.safetensors").unlink()
        with pytest.raises(StudyError, match="both: on validation none of its members is better than equal"):
            ensemble.make(trained, "both")

    # A member that is trained by another recipe makes it stale.
    changed = ENTRIES | {"both": BOTH, "pretrained": ENTRIES["pretrained"].model_copy(update={"learning_rate": 1e-3})}
    resolve(trained, changed)
    with pytest.raises(StudyError, match="pretrained: not trained by the recipe that the ensemble has it by"):
        ensemble.make(trained, "both")


def test_a_child_without_epochs_has_its_parent_s_weights_and_prior(trained: Folders) -> None:
    parent, child = (json.loads((trained.run(name) / "scores.json").read_text()) for name in ("modern", "views"))
    weights = [(trained.run(name) / "weights.safetensors").read_bytes() for name in ("modern", "views")]
    assert weights[0][-1000:] == weights[1][-1000:]
    assert child["best_epoch"] == 0
    assert child["history"] == []
    assert child["calibration"].get("prior_corrected") is None, "the tiny data set has as many images of each class"
    assert child["test"]["nll"] != parent["test"]["nll"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("members = ['a']", "members: List should have at least 2 items"),
        ("members = ['a', 'a']", "'members' names a classifier twice"),
        ("members = ['a', 'b']\nepochs = 3", "unknown key 'epochs'; allowed: kind, about, thesis, members"),
    ],
)
def test_what_cannot_be_is_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"kind = 'ensemble'\nabout = 'x'\n{content}\n")
    with pytest.raises(EntryError, match=message):
        read(file)
