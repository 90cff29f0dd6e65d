"""API keys: made, kept as hashes, revoked, and what each may do."""

import hashlib
import json
import stat
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.keys import SCOPES, ApiKeyError, Keys
from tests.gateway.calls import PICTURE, Front, problem
from zoo.study import ROOT

CLASSIFY, EXPLAIN, SYNTHESIZE = "/v1/classify/transfer", "/v1/explain/transfer", "/v1/synthesize/sagan"
OPEN = {"/v2/health/live", "/v2/health/ready"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys" / "api_keys.json")


def test_only_a_hash_is_kept_in_a_file_that_nobody_else_can_read(keys: Keys, tmp_path: Path) -> None:
    secret = keys.add("phone", ["classify"], "60/minute")
    file = tmp_path / "keys" / "api_keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    [kept] = json.loads(file.read_text())
    assert kept["sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert len(secret) > 43  # 256 bits in base64
    found = keys.find(secret)
    assert found is not None
    assert (found.name, found.scopes, found.rate) == ("phone", ("classify",), "60/minute")
    assert keys.find("wrong") is None
    assert keys.find("") is None
    assert keys.find("größe") is None
    assert keys.add("tablet", ["classify"], "60/minute") != secret


def test_what_another_process_changes_counts_at_once(keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "keys" / "api_keys.json")
    secret = other.add("phone", ["classify"], "60/minute")
    assert keys.find(secret) is not None
    other.revoke("phone")
    assert keys.find(secret) is None
    with pytest.raises(ApiKeyError, match="no key is named 'phone'; there are: none"):
        other.revoke("phone")


@pytest.mark.parametrize(
    ("name", "scopes", "rate", "message"),
    [
        ("a b", ["classify"], "60/minute", "NAME=a b"),
        ("", ["classify"], "60/minute", "NAME="),
        ("phone", ["all"], "60/minute", "SCOPES=all: they are some of classify"),
        ("phone", [], "60/minute", "SCOPES="),
        ("phone", ["classify"], "often", "RATE=often: a number and a time"),
        ("phone", ["classify"], "0/minute", "RATE=0/minute: a number and a time"),
        ("taken", ["classify"], "60/minute", "there is a key named taken"),
    ],
)
def test_a_key_that_cannot_be_made(keys: Keys, name: str, scopes: list[str], rate: str, message: str) -> None:
    keys.add("taken", ["classify"], "60/minute")
    with pytest.raises(ApiKeyError, match=message):
        keys.add(name, scopes, rate)
    assert len(keys.all()) == 1


def test_a_damaged_file_is_an_error_and_opens_nothing(front: Front) -> None:
    client = front.client()
    file = front.gateway.settings.keys
    file.write_text("{")
    with pytest.raises(ApiKeyError, match="it is damaged; delete it"):
        front.keys.all()
    problem(client.get("/v1/models"), 503, "cannot read its API keys")


@pytest.mark.parametrize(
    ("field", "value"), [("rate", "60/min"), ("sha256", "é" * 64), ("sha256", "abc"), ("name", "a/b")]
)
def test_an_edited_file_is_checked(front: Front, field: str, value: str) -> None:
    client, file = front.client(), front.gateway.settings.keys
    rows = json.loads(file.read_text())
    rows[0][field] = value
    file.write_text(json.dumps(rows))
    problem(client.get("/v1/models"), 503, "cannot read its API keys")


def test_nothing_but_health_answers_without_a_key(front: Front) -> None:
    described = front.anonymous().get("/openapi.json").json()["paths"]
    assert len(described) > 15
    for path, calls in described.items():
        url = path.format(version="baseline", name="baseline", model="lesion_classifier", entry="baseline")
        for method in calls:
            for key, code in ((None, "send an API key"), ("", "API key"), ("zoo_wrong", "not valid")):
                answer = front.anonymous(key).request(method, url, content=PICTURE)
                if path in OPEN:
                    assert answer.status_code == 200
                    assert "security" not in calls[method]
                else:
                    problem(answer, 401, code)
                    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="lesion-zoo"')
                    assert calls[method]["security"]
    assert not front.runtime.asked


def test_basic_credentials_are_none(front: Front) -> None:
    problem(front.anonymous().get("/v1/models", auth=("a", "b")), 401, "send an API key")


def test_a_revoked_key(front: Front) -> None:
    client = front.client(name="phone")
    assert client.get("/v1/models").status_code == 200
    front.keys.revoke("phone")
    problem(client.get("/v1/models"), 401, "not valid")


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("classify", "POST", CLASSIFY),
        ("classify", "POST", "/v1/classify"),
        ("classify", "POST", "/v2/models/lesion_classifier/infer"),
        ("explain", "POST", EXPLAIN),
        ("synthesize", "POST", SYNTHESIZE),
        ("admin", "GET", "/metrics"),
    ],
)
def test_scopes(front: Front, scope: str, method: str, path: str) -> None:
    others = front.client([one for one in SCOPES if one != scope], name="others")
    answer = others.request(method, path, content=PICTURE)
    problem(answer, 403, f"and not {scope}")
    assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["WWW-Authenticate"]
    assert front.client([scope], name="own").request(method, path, content=PICTURE).status_code in (200, 400)
    assert others.get("/v1/models").status_code == 200


def test_a_rate(front: Front) -> None:
    client, other = front.client(rate="3/hour"), front.client(name="other", rate="3/hour")
    for _ in range(3):
        assert client.post(CLASSIFY, content=PICTURE).status_code == 200
    answer = client.post(CLASSIFY, content=PICTURE)
    problem(answer, 429, "3/hour")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600
    assert other.get("/v1/models").status_code == 200


def test_each_picture_counts(front: Front) -> None:
    client: TestClient = front.client(rate="5/hour")
    three, five = ([("image", ("a", PICTURE))] * count for count in (3, 5))
    assert client.post(CLASSIFY, files=three).status_code == 200
    problem(client.post(CLASSIFY, files=three), 429, "wait")
    problem(front.client(rate="3/hour", name="few").post(CLASSIFY, files=five), 429, "send fewer")


def test_one_picture_more_than_the_limit_can_never_be_answered(front: Front) -> None:
    client = front.client(rate="5/hour")
    answer = client.post(CLASSIFY, files=[("image", ("a", PICTURE))] * 6)
    problem(answer, 429, "6 pictures at once are more than this key's limit, 5/hour; send fewer")
    assert "Retry-After" not in answer.headers
    images = {"name": "image", "datatype": "BYTES", "shape": [6], "data": [b64encode(PICTURE).decode()] * 6}
    answer = front.client(rate="5/hour", name="v2").post(
        "/v2/models/lesion_classifier/infer", json={"inputs": [images]}
    )
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)
    assert "6 pictures at once" in answer.json()["error"]


def test_the_commands(tmp_path: Path) -> None:
    def gateway(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {"LESION_ZOO_ROOT": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "120"}
        command = [sys.executable, "-m", "gateway", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    made = gateway("key", "--scopes", "explain", "--", "phone")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("zoo_")
    assert "it is not shown again" in made.stderr
    found = Keys(tmp_path / "keys" / "api_keys.json").find(secret)
    assert found is not None
    assert found.scopes == ("explain",)
    listed = gateway("keys")
    assert "phone" in listed.stdout
    assert found.sha256 not in listed.stdout
    again = gateway("key", "phone")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert again.stderr.startswith("error: there is a key named phone")
    assert gateway("revoke", "phone").returncode == 0
    assert gateway("revoke", "phone").returncode == 2
    wrong = gateway("serve", "--cors", "https://example.org/page")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "CORS=https://example.org/page: an origin is scheme, host" in wrong.stderr
