"""The champion of a study: which entry may become it, and what is recorded of it."""

import json
import re
from collections.abc import Callable
from typing import Any

from tests.compare.study_server import StudyServer
from zoo.serving import champion

Run = Callable[..., Any]


def test_promote(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    done = run("promote", "baseline")  # there is no champion yet that it could be worse than
    assert done.exit_code == 0, done.output
    done = run("promote", "best")
    assert "transfer is the champion of tiny: macro F1 0." in done.output
    assert "against baseline: +0." in done.output
    assert study_server.default == "transfer"
    done = run("promote", "baseline")
    assert done.exit_code == 2
    assert re.search(
        r"error: baseline is significantly worse than the champion, transfer: macro F1 -0\.\d+ \(", done.output
    )
    assert study_server.default == "transfer"
    assert run("promote", "baseline", "--force").exit_code == 0
    assert study_server.default == "baseline"
    assert run("report").exit_code == 0
    assert '"champion": "baseline"' in (study_server.reports / "results.json").read_text()
    first, second, third = champion.history(study_server.folders.archives)
    assert (first.entry, second.entry, third.entry) == ("baseline", "transfer", "baseline")
    assert (first.previous, first.difference, first.forced) == (None, None, None)
    assert second.previous == "baseline"
    assert second.difference is not None
    assert second.difference > 0
    assert second.valid_macro_f1 == 0.95
    assert third.forced is not None
    assert "significantly worse" in third.forced
    assert second.since.startswith("2")
    results = json.loads((study_server.reports / "results.json").read_text())
    assert [question["is_champion"] for question in results["questions"]] == [True, False]


def test_an_entry_that_was_trained_anew_is_not_scored(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    study_server.described["transfer"]["weights_sha256"] = "others"
    assert "transfer was not scored as it is served now" in run("promote", "transfer").output
    assert champion.current(study_server.folders.archives) is None


def test_a_champion_that_was_trained_anew_is_not_scored(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    run("promote", "baseline")
    study_server.described["baseline"]["weights_sha256"] = "others"
    done = run("promote", "transfer")
    assert done.exit_code == 2
    assert "the champion, baseline, was not scored as it is served now; first: make compare" in done.output
    del study_server.described["baseline"]
    assert run("promote", "transfer").exit_code == 0, "its answers are still those that it gave when it was served"


def test_a_damaged_record_of_champions_is_an_error(study_server: StudyServer, run: Run) -> None:
    run("evaluate")
    (study_server.folders.archives / champion.FILE).write_text("{")
    done = run("promote", "transfer")
    assert (done.exit_code, "champion.json is damaged; delete it" in done.output) == (2, True)
