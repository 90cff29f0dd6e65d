"""Mistakes on the command line are named, with exit status 2."""

import pytest

from gan.__main__ import main
from zoo.study import Folders


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "error: nobody has no recipe in study 'mine'; `make zoo ENTRIES=nobody` writes it"),
        (["pool"], "error: which generator? python -m gan pool NAME"),
        (["pool", "plain"], "error: plain is not trained yet"),
        (["baseline"], "error: baseline is of the kind 'classifier': python -m train baseline --study mine"),
    ],
)
def test_mistakes_are_named(
    folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folders.root)
    monkeypatch.setenv("LESION_ZOO_ROOT", str(folders.root))
    (folders.run("baseline")).mkdir()
    (folders.run("baseline") / "recipe.json").write_text("{}")
    (folders.run("baseline") / "about.json").write_text('{"kind": "classifier"}')
    with pytest.raises(SystemExit) as exit_:
        main(arguments, "mine")
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
