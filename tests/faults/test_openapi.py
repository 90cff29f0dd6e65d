"""docs/openapi.yaml against real servers: schemathesis asks what it describes, and what it forbids."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.faults.conftest import Reliability
from tests.faults.garbage import FORMATS, noise, pictures
from tests.faults.small_zoo import NAMES, Served, serving
from tests.images import file_of
from tests.servers import SERVED_BY

pytestmark = [pytest.mark.thorough, pytest.mark.server]

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ACCEPTED, REFUSED = checks.positive_data_acceptance, checks.negative_data_rejection
"""Where the description alone says what is accepted (of a picture, it cannot say that it is whole), and what refused
(TorchServe itself takes no notice of what it does not know)."""

EXAMPLES = 10
"""Random ones of each call, beside those that schemathesis makes systematically."""

PORTS = {"inference": 0, "management": 1, "metrics": 2}

SEEN: dict[tuple[str, str], Counter[int]] = {(runtime, tag): Counter() for runtime in SERVED_BY for tag in PORTS}
"""Statuses that were answered."""


def _description() -> dict[str, object]:
    """What docs/openapi.yaml says, with the names that are served here in the place of any entry's."""
    described = yaml.safe_load(FILE.read_text())
    for kind, name in NAMES.items():
        described["components"]["parameters"][kind]["schema"] = {"type": "string", "enum": [name, "nobody"]}
    result: dict[str, object] = described
    return result


for form in FORMATS:
    whole = st.just(file_of(noise(), form))
    schemathesis.openapi.media_type(f"image/{form.lower()}", whole | pictures())

Case = schemathesis.Case[Any]
SCHEMA = schemathesis.openapi.from_dict(_description())


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("openapi"), request.param) as served:
        yield served


def torn(case: Case, answer: schemathesis.Response) -> bool:
    """Whether TorchServe itself failed at a form, a field without a name say, as the description's 500 tells."""
    form = (case.media_type or "").startswith("multipart/")
    return form and answer.status_code == 500 and answer.json()["type"] == "ErrorDataDecoderException"


def ask(case: Case, tag: str, served: Served, session: requests.Session) -> None:
    """Ask what `case` says, with a valid token, and hold the answer against the description."""
    by_json = case.media_type == "application/json" and "generator" in case.path
    keys = served.keys()
    key = keys["API"] if case.operation.path == "/token" else keys.get(tag)
    answer = case.call(
        base_url=f"http://127.0.0.1:{served.port + PORTS[tag]}",
        session=session,
        headers={} if key is None else {"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    SEEN[served.runtime, tag][answer.status_code] += 1
    further = [ACCEPTED, REFUSED] if by_json else [ACCEPTED] if tag != "inference" else []
    if served.runtime != "torchserve" or not torn(case, answer):
        further.append(not_a_server_error)
    case.validate_response(answer, checks=[*CHECKS, *further])


@SCHEMA.include(tag="inference").parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_inference(case: Case, served: Served, session: requests.Session) -> None:
    ask(case, "inference", served, session)


@SCHEMA.include(tag="management").parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_management(case: Case, served: Served, session: requests.Session) -> None:
    ask(case, "management", served, session)


@SCHEMA.include(tag="metrics").parametrize()
@settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_metrics(case: Case, served: Served, session: requests.Session) -> None:
    ask(case, "metrics", served, session)


def test_what_needs_a_token_is_refused_without_one(served: Served, reliability: Reliability) -> None:
    row = reliability.row("described calls without a token, or with a wrong one", "400 InvalidKeyException")
    for path, calls in yaml.safe_load(FILE.read_text())["paths"].items():
        for method in {"get", "post", "put"} & calls.keys():
            for key in (None, "null", "wrong", served.keys()["API"]):
                if calls[method].get("security") == [] or (path == "/token" and key == served.keys()["API"]):
                    continue
                url = path.format(version="baseline", model="lesion_classifier")
                with served.http(None, PORTS[calls[method]["tags"][0]]) as http:
                    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                    answer = http.request(method, url, headers=headers)
                assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException"), (method, path, key)
                row.tried += 1
    row.seen = "all of them refused"
    assert row.tried > 40


def test_what_was_asked_is_enough(served: Served, reliability: Reliability) -> None:
    row = reliability.row(
        "calls by schemathesis, of docs/openapi.yaml",
        "answers as described; a 5xx only of forms that TorchServe cannot take to pieces",
    )
    seen = {tag: SEEN[served.runtime, tag] for tag in PORTS}
    together = sum(seen.values(), Counter[int]())
    row.tried = sum(together.values())
    row.seen = ", ".join(f"{together[status]} x {status}" for status in sorted(together))
    assert {200, 400, 404} <= set(seen["inference"])
    assert {200, 404} <= set(seen["management"])
    assert 200 in seen["metrics"]
    assert set(seen["metrics"]) <= {200, 405}  # TorchServe takes any method
