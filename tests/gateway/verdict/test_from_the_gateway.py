"""What the gateway writes is what the verdict reads: through its calls, on a runtime that is made up."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway import demo
from gateway.backend import Question, Reply
from gateway.events.clients import HEADER
from gateway.events.database import connect, database_url
from gateway.experiments import files
from gateway.experiments.experiment import Experiment
from gateway.verdict.answers import of_experiment
from gateway.verdict.verdict import judge
from lesions.errors import UserError
from lesions.labels import CLASSES
from tests.gateway.calls import ORIGINAL, PICTURE, Front, Runtime
from zoo.study import Folders

SEEN = {"baseline": "nv", "transfer": "mel", "views": "mel"}


class Opinionated(Runtime):
    """Each version sees one class in every picture, and says how far its features are from validation's."""

    async def versions(self, model: str) -> list[str]:
        return list(SEEN)

    async def answer(self, question: Question) -> Reply:
        version = question.version
        label = SEEN[version or "baseline"]
        probabilities = {name: 0.7 if name == label else 0.05 for name in CLASSES}
        body = {"label": label, "probabilities": probabilities, "distance": 1.25, "entry": version, **ORIGINAL}
        return Reply(200, "application/json", json.dumps(body).encode())


@pytest.fixture
def open_client(front: Front) -> Iterator[TestClient]:
    """One whose event loop lives on between calls, as a server's does."""
    front.runtime = front.gateway.backend = Opinionated()
    with front.client(rate="100000/minute") as client:
        yield client


def test_answers_and_late_feedback_make_a_verdict(front: Front, open_client: TestClient) -> None:
    arms = {"baseline": 0.5, "transfer": 0.5}
    one = Experiment(name="trial", started=time.time(), arms=arms, shadows=("views",))
    runs = front.gateway.settings.runs
    files.start(runs / files.FOLDER, one)
    ids = []
    for number in range(160):
        headers = {HEADER: f"client-{number // 2}"}
        answer = open_client.post("/v1/classify", content=PICTURE, headers=headers)
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["id"])
        time.sleep(0.005)  # else shadows would be dropped, as they are where clients need the processors
    for number, name in enumerate(ids):
        sent = open_client.post("/v1/feedback", json={"id": name, "label": "mel" if number % 8 else "nv"})
        assert sent.status_code == 202, sent.text
    front.gateway.events.close(10)
    engine = connect(database_url(runs))
    answers = of_experiment(engine, one)
    verdict = judge(one, answers, "tests")
    engine.dispose()
    assert verdict.answers == 160
    assert set(answers.distances) == {1.25}
    assert len(set(answers.clients)) == 80
    arm, shadow = verdict.comparisons
    assert arm.conclusion == "better"
    assert arm.labeled == 160
    assert verdict.winner in ("transfer", "views")
    assert verdict.arms[0].labels["nv"] == 1
    assert verdict.arms[2].shadow
    assert shadow.pairs > 0
    assert shadow.differing == 1
    assert not verdict.wrong_shares


def test_the_demo_says_which_versions_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'has 0; make them first: make zoo ENTRIES="baseline transfer augmented"'):
        demo.run(Folders("tests", tmp_path))
