"""The page on a study's generators: its figures are those of the runs, and its pictures can be opened."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gan import fit
from gan.__main__ import main
from gan.report import best_judge
from lesions.labels import CLASSES
from zoo import recipe
from zoo.build import prepare
from zoo.entry import Classifier
from zoo.models import network
from zoo.study import Folders, StudyError


@pytest.fixture
def judged(folders: Folders) -> Folders:
    """A study with a trained generator, and a classifier that names every image alike."""
    fit.fit(folders, "everything")
    study, run = folders.read(), folders.run("judge")
    resolved = recipe.resolve("judge", Classifier(about="x"), study, prepare.data(folders, study), "-", None)
    run.mkdir()
    (run / "recipe.json").write_text(resolved.text)
    (run / "scores.json").write_text(json.dumps({"mean": [0.5] * 3, "deviation": [0.5] * 3}))
    torch.manual_seed(0)
    built = network.build(resolved.architecture)
    tensors = {name: tensor.detach().contiguous() for name, tensor in built.state_dict().items()}
    tensors["classifier.bias"][CLASSES.index("mel")] = 1e6
    save_file(tensors, run / "weights.safetensors")
    return folders


def test_what_the_page_says(judged: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(judged.root)
    out = tmp_path / "page"
    main(["report", "everything"], "mine", "judge", out)
    page = (out / "README.md").read_text()
    report = json.loads((judged.run("everything") / "scores.json").read_text())
    assert f"| {report['best']['kid']:.3g} |" in page
    assert f"| {report['floor']['kid']:.3g} |" in page
    constant = " | ".join("1.00" if label == "mel" else "0.00" for label in CLASSES)
    for shown in ("real test images", "the same, at 32 px"):
        assert f"| {shown} | {constant} | 0.14 |" in page
    assert f"| everything | {constant} | 0.14 (1.00, 1.00) |" in page
    with Image.open(out / "everything.png") as enlarged, Image.open(judged.run("everything") / "canvas.png") as canvas:
        assert enlarged.size == (2 * canvas.width, 2 * canvas.height) == (640, 448)
    with Image.open(out / "curves.png") as curves:
        assert len(curves.convert("L").getcolors(100_000)) > 10  # type: ignore[arg-type]


def test_the_judge_is_the_best_on_validation_that_saw_real_images_alone(judged: Folders) -> None:
    with pytest.raises(StudyError, match="no classifier is trained yet in study mine"):
        best_judge(judged)
    known = recipe.read(judged.run("judge") / "recipe.json")
    filled = {"generator": "everything", "fill_up": [9]}
    family = {
        "real": (known, 0.4),
        "better": (known, 0.5),
        "filled_up": (known.model_copy(update=filled), 0.8),
        "child": (known.model_copy(update={"start": "parent filled_up", "parent_sha256": "x"}), 0.9),
    }
    for name, (resolved, score) in family.items():
        judged.run(name).mkdir()
        (judged.run(name) / "recipe.json").write_text(resolved.text)
        (judged.run(name) / "scores.json").write_text(json.dumps({"valid": {"balanced_accuracy": score}}))
        (judged.run(name) / "weights.safetensors").touch()
    assert best_judge(judged) == "better"


@pytest.mark.parametrize(
    ("words", "judge", "said"),
    [
        (["report"], "judge", "which generator? python -m gan report NAME"),
        (["report", "plain"], "judge", "plain is not trained yet in study mine"),
        (["report", "everything"], "nobody", "nobody is not trained yet in study mine"),
    ],
)
def test_what_is_missing_is_named(
    judged: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], judge: str,
    said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(judged.root)
    with pytest.raises(SystemExit) as ended:
        main(words, "mine", judge, judged.root / "page")
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (judged.root / "page").exists()
