"""What the verdict reads is the same from SQLite and from PostgreSQL."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gateway.drift.answers import last_time, of_version, versions
from gateway.events.database import EventsError, connect, reading, sqlite_url
from gateway.events.tables import LOSSES
from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import of_experiment
from gateway.verdict.verdict import judge
from tests.gateway.verdict.rows import STARTED, answer, database, trial, write

ARMS = {"baseline": 0.5, "transfer": 0.5}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of events, of several pages."""
    file = tmp_path_factory.mktemp("events") / "events.sqlite"
    engine = database(file)
    trial(engine, 100, {"baseline": 0.5, "transfer": 0.9})
    engine.dispose()
    return file


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4096))
def test_any_damage_is_one_line(
    written: Path, tmp_path_factory: pytest.TempPathFactory, place: float, noise: bytes
) -> None:
    runs, content = tmp_path_factory.mktemp("runs"), bytearray(written.read_bytes())
    at = int(place * len(content))
    content[at : at + len(noise)] = noise
    (runs / "events.sqlite").write_bytes(content)
    one = Experiment(name="trial", started=STARTED, arms=ARMS)
    for read in (
        last_time,
        lambda engine: versions(engine, STARTED, STARTED + 100),
        lambda engine: of_version(engine, "baseline", STARTED, STARTED + 100),
        lambda engine: of_experiment(engine, one),
    ):
        try:
            with reading(sqlite_url(runs)) as engine:
                read(engine)
        except EventsError as error:
            assert "\n" not in str(error)


def test_both_databases_give_the_same_verdict(address: str, tmp_path: Path) -> None:
    one = Experiment(name="trial", started=STARTED, arms=ARMS, shadows=("views",))
    verdicts = []
    for url in (address, sqlite_url(tmp_path / "other")):
        engine = connect(url)
        trial(engine, 400, {"baseline": 0.5, "transfer": 0.9}, {"views": 0.7})
        write(engine, [answer(10_000, "baseline", "z", None, distance=1.5)], [])
        with engine.begin() as connection:
            loss = {"time": STARTED + 1, "experiment": "trial", "rows": 3, "reason": "full"}
            connection.execute(insert(LOSSES), [loss, loss | {"experiment": "other"}])
        answers = of_experiment(engine, one)
        assert np.nansum(answers.distances) == 1.5
        assert versions(engine, STARTED, STARTED + 400) == ["baseline", "transfer", "views"]
        assert last_time(engine) == STARTED + 399
        assert len(of_version(engine, "views", STARTED, STARTED + 10).times) == 10
        verdicts.append(judge(one, answers, "tests").model_copy(update={"made": ""}))
        engine.dispose()
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].comparisons[0].conclusion == "better"
    assert "lost, and missing here: 3 events" in verdicts[0].warnings[0]
