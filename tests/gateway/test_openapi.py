"""Whatever /openapi.json allows, and what it forbids: schemathesis asks real gateways, and no answer is a 5xx."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.faults.garbage import noise, pictures
from tests.gateway.calls import Front
from tests.gateway.servers import Served, serving
from tests.images import file_of
from tests.servers import SERVED_BY

pytestmark = pytest.mark.server

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
SEEN: Counter[int] = Counter()
"""Statuses that were answered."""

schemathesis.openapi.media_type("image/*", st.just(file_of(noise())) | pictures())


def _description() -> dict[str, Any]:
    """What the gateway says of itself, with names that are served here in the place of any entry's."""
    described: dict[str, Any] = Front(Path("unused")).anonymous().get("/openapi.json").json()
    names = {"version": "baseline", "name": "sagan", "entry": "baseline", "model": "lesion_classifier"}
    for calls in described["paths"].values():
        for call in calls.values():
            for parameter in call.get("parameters", ()):
                if parameter["name"] in names:
                    parameter["schema"] = {"type": "string", "enum": [names[parameter["name"]], "nobody"]}
    return described


Case = schemathesis.Case[Any]
SCHEMA = schemathesis.openapi.from_dict(_description())


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("openapi"), request.param) as served:
        yield served


@SCHEMA.parametrize()
@settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_call(case: Case, served: Served, session: requests.Session) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    answer = case.call(base_url=served.url, session=session, headers=headers, timeout=60)
    SEEN[answer.status_code] += 1
    case.validate_response(answer, checks=CHECKS)


def test_what_was_asked_is_enough() -> None:
    assert {200, 400, 404, 422} <= set(SEEN)
    assert SEEN.total() > 300
