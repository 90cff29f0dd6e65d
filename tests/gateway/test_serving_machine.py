"""The gateway on a machine that only serves: without the packages that training needs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway import start
from tests.faults.garbage import noise
from tests.faults.small_zoo import made
from tests.images import file_of
from tests.servers import free_ports, pack
from tests.zoo.serving.local.test_process import SERVING_MACHINE
from zoo.study import ROOT

pytestmark = pytest.mark.server

PICTURE = file_of(noise())


def test_a_machine_that_only_serves(tmp_path: Path) -> None:
    store, port, folder = tmp_path / "my archives", free_ports(), tmp_path / "runs" / "my archives" / "serve"
    pack(*made("classifier", tmp_path), store / "baseline.mar")
    machine = SERVING_MACHINE.replace("zoo.__main__", "gateway.__main__")

    def gateway(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"LESION_ZOO_ROOT": str(tmp_path)}
        command = [sys.executable, "-c", machine, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    ports = ("--port", str(port), "--gateway-port", str(free_ports()))
    try:
        done = gateway("serve", "--runtime", "local", "--archives", str(store), *ports)
        assert done.returncode == 0, done.stderr
        assert f"gateway: http://127.0.0.1:{ports[3]}, for pages of no other origin" in done.stdout
        assert f"page: http://127.0.0.1:{ports[3]}/?token=" in done.stdout
        assert "there is no API key yet: make key NAME=phone" in done.stdout
        assert "python -m gateway stop --study 'my archives'" in done.stdout
        key = gateway("key", "phone").stdout.strip()
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
            assert http.post(f"http://127.0.0.1:{ports[3]}/v1/classify", content=PICTURE).status_code == 200
        study = ("--study", store.name)
        status = gateway("status", *study).stdout
        assert f"gateway: http://127.0.0.1:{ports[3]}" in status
        assert re.search(r"\bbaseline\b.*\byes\b.*\bready\b", status)
        assert '"path": "/v1/classify"' in gateway("logs", *study).stdout
        assert gateway("stop", *study).stdout == "stopped\n"
        assert gateway("stop", *study).stdout == "nothing is running\n"
        assert gateway("status", *study).returncode == 2
    finally:
        start.stop(folder)
