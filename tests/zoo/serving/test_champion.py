"""The record of champions, and what it says of an archive that was made anew."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.zoo.serving.champions import promoted
from zoo.serving.champion import FILE, ChampionError, append, before, current, history, is_retrained


def test_the_last_one_is_the_present_one_and_none_is_forgotten(tmp_path: Path) -> None:
    assert current(tmp_path / "none") is None
    for entry in ("baseline", "transfer"):
        append(tmp_path / "study", promoted(entry))
    assert current(tmp_path / "study") == promoted("transfer")
    assert history(tmp_path / "study") == [promoted("baseline"), promoted("transfer")]


@pytest.mark.parametrize("content", ["", "{}", '[{"entry": "transfer"}]'])
def test_a_damaged_record_is_never_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ChampionError, match=r"champion\.json is damaged; delete it, and promote again"):
        append(tmp_path, promoted("transfer"))
    assert (tmp_path / FILE).read_text() == content


def test_a_record_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(ChampionError, match=r"champion\.json: Is a directory$"):
        current(tmp_path)


def test_an_archive_that_was_made_anew_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "transfer.mar", "w") as archive:
        archive.writestr("entry.json", json.dumps({"weights_sha256": "w"}))
    assert not is_retrained(tmp_path, "transfer", "w")
    assert is_retrained(tmp_path, "transfer", "others")
    assert is_retrained(tmp_path, "baseline", "w")


def test_the_one_before_is_the_last_other_entry_that_was_not_rolled_back(tmp_path: Path) -> None:
    def promote(entry: str, rolled_back: str | None = None) -> None:
        append(tmp_path, promoted(entry).model_copy(update={"rolled_back": rolled_back}))

    assert before(tmp_path) is None
    for entry in ("baseline", "transfer", "transfer"):
        promote(entry)
    assert before(tmp_path) == promoted("baseline")
    promote("views")
    assert before(tmp_path) == promoted("transfer")
    promote("transfer", "slow")
    assert before(tmp_path) == promoted("baseline")
    promote("views")
    assert before(tmp_path) == promoted("transfer")
    promote("transfer", "slow again")
    promote("baseline", "worse")
    assert before(tmp_path) is None


def test_records_of_before_there_were_experiments_are_read(tmp_path: Path) -> None:
    old = promoted("transfer").model_dump(exclude={"evidence", "rolled_back"})
    (tmp_path / FILE).write_text(json.dumps([old]))
    assert current(tmp_path) == promoted("transfer")
