"""Tokens: one for each kind of call, on all paths, for an hour, in a file for its owner."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.zoo.serving.rest.calls import BASELINE, Server
from zoo.serving.rest.tokens import Tokens


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_the_file_is_as_torchserve_writes_it(server: Server) -> None:
    keys = json.loads(server.key_file.read_text())
    assert {kind: set(own) for kind, own in keys.items()} == {
        "inference": {"key", "expiration time"},
        "management": {"key", "expiration time"},
        "API": {"key"},
    }
    assert len({own["key"] for own in keys.values()}) == 3
    for kind in ("inference", "management"):
        left = datetime.fromisoformat(keys[kind]["expiration time"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    assert server.key_file.stat().st_mode & 0o777 == 0o600


def test_a_token_lasts_as_long_as_it_is_told(tmp_path: Path) -> None:
    Tokens(tmp_path / "keys", timedelta(minutes=7))
    expires = json.loads((tmp_path / "keys").read_text())["inference"]["expiration time"]
    assert timedelta(minutes=6) < datetime.fromisoformat(expires) - datetime.now(UTC) <= timedelta(minutes=7)


def test_what_a_killed_server_left_is_not_written_into(tmp_path: Path) -> None:
    left = tmp_path / "key_file.json.part"
    left.write_text("x")
    left.chmod(0o666)
    with left.open() as read:
        server = Server(tmp_path)
        assert read.read() == "x"
    assert server.key_file.stat().st_mode & 0o777 == 0o600
    assert not left.exists()


@pytest.mark.parametrize(
    ("offset", "kind", "path"),
    [
        (0, "inference", "/ping"),
        (1, "management", "/models"),
        (1, "management", "/models/lesion_classifier/baseline"),
        (1, "API", "/token?type=inference"),
    ],
)
def test_each_call_takes_its_own_kind_of_token_and_no_other(server: Server, offset: int, kind: str, path: str) -> None:
    key = server.key(kind)
    wrong = [f"Bearer {server.key(other)}" for other in ("inference", "management", "API") if other != kind]
    wrong += [
        "",
        "Bearer",
        "Bearer ",
        "Bearer null",
        f"Bearer {key}x",
        f"Bearer {key[:-1]}",
        f"Basic {key}",
        key,
        "Bearer \xe9",
    ]
    client = server.client(None, offset)
    for header in wrong:
        answer = client.get(path, headers={b"Authorization": header.encode("latin-1")} if header else {})
        assert answer.json() == {
            "code": 400,
            "type": "InvalidKeyException",
            "message": "Token Authorization failed. Token either incorrect, expired, or not provided correctly",
        }
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert server.client(kind, offset).get(path).status_code == 200


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("path", ["/", "/nothing", "/api-description", "/metrics", "/token", BASELINE, "//"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_nothing_answers_without_one(server: Server, offset: int, path: str, method: str) -> None:
    answer = server.client(None, offset).request(method, path)
    assert answer.status_code == 400
    assert method == "HEAD" or answer.json()["type"] == "InvalidKeyException"


def test_a_renewed_token_voids_the_old_one_of_its_kind(server: Server) -> None:
    before = {kind: server.key(kind) for kind in ("inference", "management", "API")}
    old = server.client("inference")
    answer = server.client("API", 1).get("/token", params={"type": "inference"})
    assert (answer.status_code, answer.content) == (200, b"")
    after = {kind: server.key(kind) for kind in before}
    assert {kind for kind in before if before[kind] != after[kind]} == {"inference"}
    assert old.get("/ping").status_code == 400
    assert server.client("inference").get("/ping").status_code == 200
    assert server.client("management", 1).get("/models").status_code == 200


@pytest.mark.parametrize("kind", ["", "API", "nonsense"])
def test_no_other_kind_can_be_renewed(server: Server, kind: str) -> None:
    before = server.key_file.read_text()
    answer = server.client("API", 1).get("/token", params={"type": kind})
    assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException")
    assert server.key_file.read_text() == before


def test_a_token_expires(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.tokens, "_valid", timedelta(0))
    server.tokens.renew("inference")
    assert server.client("inference").get("/ping").status_code == 400
    assert server.client("management", 1).get("/models").status_code == 200
    monkeypatch.undo()
    assert server.client("API", 1).get("/token?type=inference").status_code == 200  # this key does not
    assert server.client("inference").get("/ping").status_code == 200
