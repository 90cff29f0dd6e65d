"""What cannot be trained is refused with one message, and nothing is left."""

import pytest

from tests.train.commands import start, train
from train.__main__ import main
from zoo.build import prepare
from zoo.kinds.classifier import Classifier
from zoo.packaging import card
from zoo.study import Folders, StudyError


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("plain/recipe.json", "recipe.json is damaged; `make zoo` writes it again"),
        ("data.json", "data.json is damaged; `make zoo` writes it again"),
        ("study.json", "study.json is damaged; delete it, and run `make zoo` again"),
        ("split.csv", "images or split are no longer those of its recipe; run `make zoo` again"),
        ("../../data/cache/*/index.csv", "the decoded images cannot be read"),
        ("../../data/cache/*/images.npy", "the decoded images cannot be read"),
        ("../../data/cache/*/store.json", "the decoded images cannot be read"),
    ],
)
def test_what_training_goes_by_is_damaged(
    file: str, message: str, folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [damaged] = folders.runs.glob(file)
    damaged.write_bytes(damaged.read_bytes()[:40])
    monkeypatch.chdir(folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(folders.root))
    with pytest.raises(SystemExit) as ended:
        main(["plain"], folders.name)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_data_that_are_not_the_recipes_are_refused(folders: Folders) -> None:
    text = folders.split.read_text()
    folders.split.write_text(text.replace(",train\n", ",test\n", 1))
    process = start(folders, "plain")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "images or split are no longer those of its recipe; run `make zoo` again" in stderr


@pytest.mark.slow
def test_scores_and_weights_of_another_recipe_are_not_archived(folders: Folders) -> None:
    train(folders, "plain")
    assert card.entry(folders, "plain")["recipe"]["learning_rate"] == 3e-4
    study = folders.read()
    faster = {"plain": Classifier(about="x", learning_rate=0.001)}
    prepare.write(folders, study, faster, prepare.resolve_recipes(study, prepare.make_data(folders, study), faster))
    with pytest.raises(StudyError, match="recipe, weights and scores do not belong together"):
        card.entry(folders, "plain")


def test_an_entry_without_a_recipe_is_named(folders: Folders) -> None:
    process = start(folders, "nobody")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "nobody has no recipe in study 'mine'" in stderr
