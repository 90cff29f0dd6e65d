"""Ray Serve's config files: the same archives and the gateway, deployed by import path."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.keys import SCOPES, Keys
from lesions.files import sha256
from tests.faults.garbage import noise
from tests.faults.small_zoo import NAMES, made
from tests.images import file_of
from tests.servers import free_ports, pack
from zoo.serving.limits import limits
from zoo.serving.ray.application import PREFIX, temporary_folder
from zoo.serving.ray.program import RayProgram
from zoo.serving.ray.settings import Settings
from zoo.study import ROOT

pytestmark = [pytest.mark.server, pytest.mark.ray]

DEPLOY = """
import json, sys, time
import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

port, folder, *configs = sys.argv[1:]
ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=100_000_000,
         log_to_driver=False, configure_logging=False, _temp_dir=folder)
serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
for config in configs:
    _get_global_client().deploy_apps(ServeDeploySchema(**json.loads(config)))
    state = "DEPLOYING"
    while state in ("DEPLOYING", "NOT_STARTED"):
        time.sleep(0.2)
        zoo = serve.status().applications["lesion-zoo"]
        state = zoo.status.value
    print(json.dumps([state, zoo.message + "".join(one.message for one in zoo.deployments.values())]), flush=True)
    sys.stdin.readline()
serve.shutdown()
ray.shutdown()
"""
"""As `serve deploy` does; the dashboard takes its calls, which needs more packages."""


def config(**args: Any) -> str:
    application = {"name": "lesion-zoo", "route_prefix": "/", "import_path": "zoo.serving.ray.application:build"}
    return json.dumps({"applications": [application | {"args": args}]})


@contextmanager
def deployed(port: int, cache: Path, *configs: str) -> Iterator["subprocess.Popen[str]"]:
    """A Ray of its own, to which configs are deployed one after the other, each when a line is sent."""
    (tmp := cache.with_name("tmp")).mkdir()
    own = {"TMPDIR": str(tmp), "XDG_CACHE_HOME": str(cache)}
    environment = {**os.environ, **RayProgram(Settings()).environment(cache), **own}
    environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with (
        tempfile.TemporaryDirectory(prefix="lz-app-", dir="/tmp") as folder,
        subprocess.Popen(
            [sys.executable, "-c", DEPLOY, str(port), folder, *configs],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()
            running.wait(30)


def state(running: "subprocess.Popen[str]") -> tuple[str, str]:
    """What Ray made of a config: state and message."""
    assert running.stdout is not None
    line = ""
    while not line.startswith('["'):  # Ray reports, too
        line = running.stdout.readline()
        assert line, "it ended"
    name, message = json.loads(line)
    return str(name), str(message)


def test_the_gateway_is_the_door(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for kind, name in NAMES.items():
        pack(*made(kind, tmp_path / kind), store / f"{name}.mar")
    key = Keys(tmp_path / "keys.json").add("tests", SCOPES, "1000/minute")
    port, large = free_ports(), file_of(noise(2000, 2000), "BMP")
    options = {"keys": str(tmp_path / "keys.json"), "origins": ["https://example.org"], "max_request_bytes": 20_000_000}
    assert limits().max_request_bytes < len(large) < 20_000_000
    good = config(archives=store.as_uri(), entries=None, replicas="1", cpus=0.1, gateway=options)
    bad = config(archives=str(store), entries=["baseline", "lost"], replicas="1-2", cpus=0, gateway=None)
    mistyped = config(archives=str(store), entries=None, replicas="1", cpus=0, gateway={"origin": ["https://a.org"]})
    with deployed(port, tmp_path / "cache", good, bad, mistyped) as running:
        assert state(running) == ("RUNNING", "")
        digests = {sha256(file) for file in store.glob("*.mar")}
        assert {file.stem for file in (tmp_path / "cache").rglob("*.mar")} == digests
        url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
            answer = http.post("/v1/classify/baseline", content=file_of(noise()))
            assert (answer.status_code, answer.json()["entry"]) == (200, "baseline")
            assert http.post("/v1/classify/baseline", content=large).status_code == 200
            assert http.post("/v1/synthesize/sagan", content=b'{"class": "mel"}').status_code == 200
            assert http.post("/v1/classify/baseline", content=b"no picture").status_code == 422
            assert {row["name"] for row in http.get("/v1/models").json()} == {"baseline", "sagan"}
            assert "baseline" in http.get("/v1/models/baseline/card").text
            assert http.get("/v2/health/ready").status_code == 200
            del http.headers["Authorization"]
            refused = http.post("/v1/classify", content=b"x", headers={"Origin": "https://example.org"})
            assert refused.status_code == 401
            assert refused.headers["Access-Control-Allow-Origin"] == "https://example.org"
        for reason in ("manifest.json does not list lost; it lists: baseline, sagan", "gateway: origin: Extra inputs"):
            assert running.stdin is not None
            running.stdin.write("\n")
            running.stdin.flush()
            name, message = state(running)
            assert name == "DEPLOY_FAILED"
            assert reason in message
            assert len(list((tmp_path / "tmp").glob(f"{PREFIX}*"))) <= 1, "one that fails leaves nothing"
        running.communicate("\n", timeout=120)
        assert not list((tmp_path / "tmp").glob(f"{PREFIX}*")), "tokens and answers go with a door"


def test_what_a_killed_door_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, young = (tmp_path / f"{PREFIX}{name}" for name in ("dead", "young"))
    for folder in (dead, young):
        (folder / "serve").mkdir(parents=True)
    os.utime(dead, (0, 0))
    first, lock = temporary_folder()
    os.utime(first.name, (0, 0))
    second, other = temporary_folder()
    assert set(tmp_path.iterdir()) == {young, Path(first.name), Path(second.name)}
    for temporary, held in ((first, lock), (second, other)):
        held.release()
        temporary.cleanup()
