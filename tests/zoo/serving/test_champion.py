"""The record of champions, and what it says of an archive that was made anew."""

import json
import zipfile
from pathlib import Path

import pytest

from zoo.serving.champion import FILE, Champion, ChampionError, append, before, current, history, is_retrained


def champion(entry: str, weights: str = "w") -> Champion:
    return Champion(
        entry=entry,
        since="2026-11-24T07:03:10+00:00",
        weights_sha256=weights,
        macro_f1=0.5,
        macro_f1_interval=(0.4, 0.6),
        valid_macro_f1=0.55,
        previous=None,
        difference=None,
        difference_interval=None,
        p=None,
        forced=None,
    )


def test_the_last_one_is_the_present_one_and_none_is_forgotten(tmp_path: Path) -> None:
    assert current(tmp_path / "none") is None
    for entry in ("baseline", "transfer"):
        append(tmp_path / "study", champion(entry))
    assert current(tmp_path / "study") == champion("transfer")
    assert history(tmp_path / "study") == [champion("baseline"), champion("transfer")]


@pytest.mark.parametrize("content", ["", "{}", '[{"entry": "transfer"}]'])
def test_a_damaged_record_is_never_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ChampionError, match=r"champion\.json is damaged; delete it, and promote again"):
        append(tmp_path, champion("transfer"))
    assert (tmp_path / FILE).read_text() == content


def test_an_archive_that_was_made_anew_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "transfer.mar", "w") as archive:
        archive.writestr("entry.json", json.dumps({"weights_sha256": "w"}))
    assert not is_retrained(tmp_path, "transfer", "w")
    assert is_retrained(tmp_path, "transfer", "others")
    assert is_retrained(tmp_path, "baseline", "w")


def test_the_one_before_is_the_last_other_entry_that_was_not_rolled_back(tmp_path: Path) -> None:
    def promote(entry: str, rolled_back: str | None = None) -> None:
        append(tmp_path, champion(entry).model_copy(update={"rolled_back": rolled_back}))

    assert before(tmp_path) is None
    for entry in ("baseline", "transfer", "transfer"):
        promote(entry)
    assert before(tmp_path) == champion("baseline")
    promote("views")
    assert before(tmp_path) == champion("transfer")
    promote("transfer", "slow")
    assert before(tmp_path) == champion("baseline")
    promote("views")
    assert before(tmp_path) == champion("transfer")
    promote("transfer", "slow again")
    promote("baseline", "worse")
    assert before(tmp_path) is None


def test_records_of_before_there_were_experiments_are_read(tmp_path: Path) -> None:
    old = champion("transfer").model_dump(exclude={"evidence", "rolled_back"})
    (tmp_path / FILE).write_text(json.dumps([old]))
    assert current(tmp_path) == champion("transfer")
