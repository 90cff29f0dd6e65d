import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.drift import measures
from gateway.drift.answers import Answers, of_version
from gateway.drift.drift import HOUR, LARGE, LEAST, LEVEL, Validation, measure
from gateway.drift.page import page, table
from gateway.events.database import connect, database_url
from lesions.labels import CLASSES
from tests.faults.small_zoo import made
from tests.gateway.verdict.rows import STARTED, answer, database, probabilities, write
from tests.servers import pack
from zoo.study import Folders, Study


def valid(n: int = 400) -> Validation:
    random = np.random.default_rng(0)
    return Validation(random.integers(0, 7, n), random.beta(8, 2, n), random.normal(1, 0.2, n))


def served(
    folder: Path, hours: list[int], *, of: Validation | None = None, seed: int = 1, distance: float = 0
) -> Answers:
    """Answers like those of validation; in these `hours` they are all nevi, and of features that far away."""
    like, random = of or valid(), np.random.default_rng(seed)
    rows = []
    for number in range(5 * 120):
        hour = number // 120
        row = int(random.integers(len(like.labels)))
        label, confidence = (5 if hour in hours else int(like.labels[row])), float(like.confidences[row])
        others = (1 - confidence) / 6
        assert like.distances is not None
        rows.append(
            answer(number, "transfer", f"{number}", label, experiment=None)
            | {
                "time": (STARTED // HOUR + hour) * HOUR + number % 120,
                "probabilities": [confidence if k == label else others for k in range(7)],
                "distance": float(like.distances[row]) + (distance if hour in hours else 0),
            }
        )
    engine = database(folder / "events.sqlite")
    write(engine, rows, [])
    return of_version(engine, "transfer", STARTED - HOUR, STARTED + 9 * HOUR)


def test_answers_like_those_of_validation_bring_no_warning(tmp_path: Path) -> None:
    drift = measure("transfer", served(tmp_path, []), valid())
    assert len(drift.hours) == 5
    assert not drift.warnings
    assert all(shift.psi < 0.25 for shift in drift.total.shifts.values())


def test_an_hour_of_one_class_only_and_of_far_features_is_named(tmp_path: Path) -> None:
    drift = measure("transfer", served(tmp_path, [3], distance=1), valid())
    assert [span.drifted for span in drift.hours] == [[], [], [], ["labels", "distances"], []]
    assert len(drift.warnings) == 2
    assert "labels unlike those of validation" in drift.warnings[0]


def test_the_command_leaves_out_what_it_cannot_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.study.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    folders = Folders("tests", tmp_path)
    (folders.run("baseline")).mkdir(parents=True)
    (folders.runs / "study.json").write_text(Study().model_dump_json())
    lines = ["image,part,label," + ",".join(CLASSES)]
    lines += [f"{n},valid,nv," + ",".join(map(str, probabilities(n % 7))) for n in range(LEAST)]
    file = folders.run("baseline") / "predictions.csv"
    file.write_text("\n".join(lines))
    os.utime(file, (STARTED - 1, STARTED - 1))
    pack(*made("classifier", tmp_path), folders.archives / "baseline.mar")

    def drift(*options: str) -> Result:
        return CliRunner().invoke(app, ["drift", "--study", "tests", *options])

    assert "no version of tests has answered through the gateway yet" in drift().output
    rows = [answer(n, ("baseline", "gan_2")[n % 2], f"{n}", n % 7, experiment=None) for n in range(2 * LEAST)]
    rows += [answer(500, "", "a", None, experiment=None)]  # a failure of the default version
    rows += [answer(501, "views", "b", 1, experiment=None, time=STARTED - 8 * 24 * HOUR)]
    engine = connect(database_url(folders.runs))
    write(engine, rows, [])
    engine.dispose()
    done = drift()
    assert done.exit_code == 0, done.output
    assert "warning: gan_2 is left out: no runs/tests/gan_2/predictions.csv; first: make zoo" in done.output
    assert "views" not in done.output
    assert "baseline" in (folders.reports / "drift.html").read_text()
    for entry, message in (
        ("gan_2", "error: gan_2 is left out: no runs/tests/gan_2/predictions.csv; first: make zoo"),
        ("views", "error: views has not answered in the last 168 hours; there are: baseline, gan_2"),
    ):
        done = drift("--entry", entry)
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert "views is left out" in drift("--hours", "240").output
    os.utime(file, (STARTED + 50, STARTED + 50))  # trained anew since
    done = drift("--entry", "baseline")
    assert "warning: baseline: 25 answers from before it was trained anew, not looked at" in done.output
    assert "25 answers of 1 hours" in (folders.reports / "drift.html").read_text()


def test_few_answers_are_not_judged_and_none_need_not_be_there(tmp_path: Path) -> None:
    answers = served(tmp_path, [0, 1, 2, 3, 4])
    few = measure("transfer", answers.take(np.arange(LEAST - 1)), valid())
    assert not few.total.shifts
    assert not few.warnings
    none = measure("transfer", answers.take(np.zeros(0, dtype=int)), valid())
    assert none.hours == []
    [path] = [page([few, none.model_copy(update={"version": "baseline"})], Folders("tests", tmp_path))]
    assert f"No hour has {LEAST} answers yet" in path.read_text()


def test_a_version_without_a_reference_has_no_distances(tmp_path: Path) -> None:
    drift = measure("transfer", served(tmp_path, []), valid()._replace(distances=None))
    assert drift.quantities == ["labels", "confidences"]


def test_the_page_shows_what_the_warnings_say(tmp_path: Path) -> None:
    drift = measure("transfer", served(tmp_path, [1, 3]), valid())
    text = page([drift], Folders("tests", tmp_path)).read_text()
    assert drift.warnings[0] in text
    assert "data:image/svg+xml" in text
    assert table([drift]).row_count == 1


def test_a_warning_needs_a_large_shift_that_is_not_by_chance() -> None:
    reference = valid(2000)._replace(labels=np.repeat(np.arange(7), [200, 300, 300, 300, 300, 300, 300]))

    def hours(*counts: list[int]) -> list[list[str]]:
        """What is warned of in each hour, by the answers of each class in it."""
        labels = np.concatenate([np.repeat(np.arange(7), row) for row in counts])
        times = np.repeat(np.arange(len(counts), dtype=float), [sum(row) for row in counts]) * HOUR
        confidences = np.resize(reference.confidences, len(labels))
        answers = Answers(times, labels, confidences, np.full(len(labels), np.nan))
        return [span.drifted for span in measure("transfer", answers, reference._replace(distances=None)).hours]

    like, small, few = [10, 15, 15, 15, 15, 15, 15], [300, 100, 150, 150, 150, 150, 0], [8, 2, 10, 4, 9, 13, 4]
    shift = measures.classes(reference.labels, np.repeat(np.arange(7), [1400, 900, 900, 900, 900, 900, 900]), 7)
    assert shift.psi < LARGE
    assert shift.p < LEVEL / 1000
    assert hours(like, [1400, 900, 900, 900, 900, 900, 900]) == [[], []], "it is small"
    shift = measures.classes(reference.labels, np.repeat(np.arange(7), few), 7)
    assert shift.psi > LARGE
    assert shift.p > LEVEL / 6
    assert hours(few) == [[]], "it may be by chance"
    assert hours(like, small) == [[], ["labels"]]


def test_chance_warns_as_seldom_as_it_may_of_rare_classes_and_in_many_hours() -> None:
    random, shares = np.random.default_rng(0), [0.03, 0.05, 0.11, 0.012, 0.111, 0.67, 0.017]
    draws = 4000
    ps = [measures.classes(random.choice(7, 1500, p=shares), random.choice(7, 50, p=shares), 7).p for _ in range(draws)]
    assert np.mean(np.array(ps) <= 1e-3) <= 2.5e-3
    assert np.mean(np.array(ps) <= 0.05) <= 0.05
    # The more hours, the smaller the p value that is asked for.
    reference, labels = valid(400)._replace(distances=None), np.resize([5, 5, 1, 2, 3], 60)

    def warned(hours: int) -> bool:
        times = np.repeat(np.arange(hours, dtype=float), 60) * HOUR
        alike = np.resize(reference.labels, 60 * (hours - 1))
        together = np.concatenate([labels, alike])
        confidences = np.resize(reference.confidences, len(together))
        answers = Answers(times, together, confidences, np.full(len(together), np.nan))
        return "labels" in measure("transfer", answers, reference).hours[0].drifted

    one = measures.classes(reference.labels, labels, 7).p
    assert one <= LEVEL / 4
    assert [warned(hours) for hours in (1, int(LEVEL / one / 2) + 2)] == [True, False]


def test_a_drift_of_all_hours_together_and_the_worst_hour_are_named() -> None:
    reference = valid(2000)._replace(distances=None)
    labels = np.resize([5, 5, 5, 1, 2, 3, 4, 0, 6, 5], 40)  # too few to judge an hour by

    def drift(*hours: NDArray[np.int64]) -> list[str]:
        times = np.concatenate([np.full(len(one), float(hour) * HOUR) for hour, one in enumerate(hours)])
        together = np.concatenate(hours)
        confidences = np.resize(reference.confidences, len(together))
        return measure("a", Answers(times, together, confidences, np.full(len(times), np.nan)), reference).warnings

    assert drift(*[labels] * 20) == ["a: labels unlike those of validation, over all hours"]
    worse, worst = np.resize([5, 5, 5, 1], 120), np.full(120, 5)
    [line] = drift(np.resize(reference.labels, 120), worse, worst, worse)
    assert line == "a: labels unlike those of validation: 3 of 4 hours, most at 1970-01-01 02:00 UTC"


def test_failures_are_no_answers_and_millions_need_little_memory(tmp_path: Path) -> None:
    engine = database(tmp_path / "events.sqlite")
    rows = [answer(n, "transfer", "a", None if n % 10 == 0 else n % 7, distance=1.0) for n in range(30_000)]
    write(engine, rows, [])
    del rows
    tracemalloc.start()
    answers = of_version(engine, "transfer", STARTED, STARTED + 30_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(answers.times) == 27_000
    assert answers.labels[:3].tolist() == [1, 2, 3]
    assert answers.confidences[0] == pytest.approx(0.8)
    assert peak < 27e6, "rows are objects a few at a time"


def test_the_index_is_the_formula_and_the_tests_are_even() -> None:
    reference, now = np.repeat([0, 1], [500, 500]), np.repeat([0, 1], [900, 100])
    shift = measures.classes(reference, now, 2)
    assert shift.psi == pytest.approx(0.4 * np.log(1.8) + -0.4 * np.log(0.2), rel=0.01)
    assert shift.p < 1e-10
    random = np.random.default_rng(0)
    small = [measures.values(random.normal(size=200), random.normal(size=100)).p < 0.05 for _ in range(300)]
    assert np.mean(small) < 0.09


@given(
    arrays(np.float64, st.integers(LEAST, 80), elements=st.floats(0, 1)),
    arrays(np.float64, st.integers(LEAST, 80), elements=st.floats(0, 1)),
)
def test_any_two_samples_have_an_index_and_a_p_value(first: np.ndarray, second: np.ndarray) -> None:
    shift = measures.values(first, second)
    assert np.isfinite(shift.psi)
    assert 0 <= shift.p <= 1
    alike = measures.classes((first * 6).astype(int), (second * 6).astype(int), 7)
    assert np.isfinite(alike.psi)
    assert 0 <= alike.p <= 1
