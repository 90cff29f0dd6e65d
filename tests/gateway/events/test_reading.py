"""What the verdict reads is the same from SQLite and from PostgreSQL."""

from pathlib import Path

import numpy as np
from sqlalchemy import insert

from gateway.events.database import connect, sqlite_url
from gateway.events.tables import LOSSES
from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import last_time, of_experiment, of_version, versions
from gateway.verdict.verdict import judge
from tests.gateway.verdict.rows import STARTED, answer, trial, write

ARMS = {"baseline": 0.5, "transfer": 0.5}


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
        assert (versions(engine), last_time(engine)) == (["baseline", "transfer", "views"], STARTED + 10_000)
        assert len(of_version(engine, "views", STARTED, STARTED + 10)) == 10
        verdicts.append(judge(one, answers, "tests").model_copy(update={"made": ""}))
        engine.dispose()
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].comparisons[0].conclusion == "better"
    assert "3 events were lost" in verdicts[0].warnings[0]
