"""The page on a study's generators: its numbers are those of the runs, and its pictures can be opened."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from gan import fit
from gan.__main__ import main
from gan.critics import FROZEN
from gan.report import best_classifier
from lesions.labels import CLASSES
from tests.networks import save_model, save_network
from zoo.build import prepare
from zoo.kinds.base import Context, Parent, Pretrained
from zoo.kinds.classifier import Classifier, ClassifierRecipe, resolve
from zoo.models import network
from zoo.study import Folders, StudyError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves what it trained for the others."""
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.fixture
def trained(folders: Folders, kept: Path) -> Folders:
    """A study with a trained generator, and a classifier that predicts one class for every image."""
    if kept.exists():
        shutil.copytree(kept, folders.runs, dirs_exist_ok=True)
        return folders
    fit.fit(folders, "everything")
    (folders.run("everything") / "about.json").write_text('{"kind": "generator"}')
    study, run = folders.read(), folders.run("classifier")
    context = Context(study, prepare.make_data(folders, study), Pretrained("-"))
    resolved = resolve("classifier", Classifier(about="x"), context)
    run.mkdir()
    (run / "recipe.json").write_text(resolved.text)
    (run / "scores.json").write_text("{}")
    (run / "about.json").write_text('{"kind": "classifier"}')
    torch.manual_seed(0)
    built = network.build(resolved.architecture)
    with torch.no_grad():
        built.get_parameter("classifier.bias")[CLASSES.index("mel")] = 1e6
    save_model(built, run / "model.onnx", resolved.pixels)
    shutil.copytree(folders.runs, kept)
    return folders


def test_the_page_has_the_numbers_of_a_run(trained: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(trained.root))
    out = tmp_path / "page"
    main(["report", "everything"], "mine", "classifier", out)
    page = (out / "README.md").read_text()
    report = json.loads((trained.run("everything") / "scores.json").read_text())
    assert f"| {report['best']['kid']:.3g} |" in page
    assert f"| {report['floor']['kid']:.3g} |" in page
    constant = " | ".join("1.00" if label == "mel" else "0.00" for label in CLASSES)
    for shown in ("real test images", "the same, at 32 px"):
        assert f"| {shown} | {constant} | 0.14 |" in page
    assert f"| everything | {constant} | 0.14 (1.00, 1.00) |" in page
    with Image.open(out / "everything.png") as enlarged, Image.open(trained.run("everything") / "canvas.png") as canvas:
        assert enlarged.size == (2 * canvas.width, 2 * canvas.height) == (640, 448)
    with Image.open(out / "curves.png") as curves:
        assert len(curves.convert("L").getcolors(100_000)) > 10  # type: ignore[arg-type]


def test_a_second_network_may_judge(trained: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(trained.root))
    torch.manual_seed(1)
    weights = save_network("test_resnet", tmp_path / "w.safetensors")
    main(["report", "everything"], "mine", "classifier", tmp_path / "page", "test_resnet", weights)
    page = (tmp_path / "page" / "README.md").read_text()
    assert "--features test_resnet --weights w.safetensors" in page
    section = page.partition("### By another network")[2].partition("##")[0]
    names = ("| real training images", "| everything")
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith(names)]
    assert len(rows) == 2
    report = json.loads((trained.run("everything") / "scores.json").read_text())
    assert rows[1][1] != f"{report['best']['kid']:.3g}", "another space"
    with pytest.raises(SystemExit):
        main(["report", "everything"], "mine", "classifier", tmp_path / "page", "test_resnet")


def test_a_critic_that_is_its_own_judge_is_named(
    trained: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(trained.root))
    fit.fit(trained, "projected")
    main(["report", "projected"], "mine", "classifier", tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text()
    assert "that of projected by GAN-train (the highest)" in page
    assert "projected learned from features of tf_efficientnet_lite1, another network than the judge" in page
    monkeypatch.setitem(FROZEN, "projected", "test_efficientnet")
    main(["report", "projected"], "mine", "classifier", tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text()
    flatters = "features of test_efficientnet, **the network that judges it here: these figures flatter it**"
    assert flatters in page
    monkeypatch.setitem(FROZEN, "projected", "test_resnet")
    torch.manual_seed(1)
    weights = save_network("test_resnet", tmp_path / "w.safetensors")
    main(["report", "projected"], "mine", "classifier", tmp_path / "page", "test_resnet", weights)
    before, _, section = (tmp_path / "page" / "README.md").read_text().partition("### By another network")
    assert "test_resnet, another network than the judge" in before
    assert "features of test_resnet, **the network that judges it here" in section.partition("##")[0]


def test_the_best_classifier_is_chosen_among_those_trained_on_real_images_alone(trained: Folders) -> None:
    with pytest.raises(StudyError, match="no classifier is trained yet in study mine"):
        best_classifier(trained)
    resolved = ClassifierRecipe.read(trained.run("classifier") / "recipe.json")
    filled = {"generator": "everything", "fill_up": [9]}
    recipes = {
        "real": (resolved, 0.4),
        "better": (resolved, 0.5),
        "filled_up": (resolved.model_copy(update=filled), 0.8),
        "child": (resolved.model_copy(update={"start": Parent("filled_up"), "parent_sha256": "x"}), 0.9),
    }
    for name, (entry_recipe, accuracy) in recipes.items():
        trained.run(name).mkdir()
        (trained.run(name) / "recipe.json").write_text(entry_recipe.text)
        (trained.run(name) / "about.json").write_text('{"kind": "classifier"}')
        (trained.run(name) / "scores.json").write_text(json.dumps({"valid": {"balanced_accuracy": accuracy}}))
        (trained.run(name) / "weights.safetensors").touch()
    assert best_classifier(trained) == "better"


@pytest.mark.parametrize(
    ("arguments", "classifier", "message"),
    [
        (["report"], "classifier", "which generator? python -m gan report NAME"),
        (["report", "plain"], "classifier", "plain is not trained yet in study mine"),
        (["report", "everything"], "nobody", "nobody is not trained yet in study mine"),
        (["report", "everything"], "everything", "everything is of the kind 'generator'; a judge is a classifier"),
    ],
)
def test_a_missing_entry_is_named(
    trained: Folders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    classifier: str,
    message: str,
) -> None:
    monkeypatch.chdir(trained.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(trained.root))
    with pytest.raises(SystemExit) as exit_:
        main(arguments, "mine", classifier, trained.root / "page")
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (trained.root / "page").exists()
