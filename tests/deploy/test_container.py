"""What deploy/kserve.yaml says of the container, held to a real process: command, probes, secret, files."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from gateway.keys import Keys
from tests.faults.checkout import wait_for
from tests.handlers.real_server import PIXELS, make, network_of
from tests.images import file_of
from tests.servers import free_ports
from zoo.study import ROOT

pytestmark = [pytest.mark.server]

CONTAINERFILE = (ROOT / "Containerfile").read_text()
WORKDIR = re.findall(r"^WORKDIR (\S+)$", CONTAINERFILE, re.MULTILINE)[0]


def container() -> dict[str, Any]:
    [one] = yaml.safe_load((ROOT / "deploy" / "kserve.yaml").read_text())["spec"]["predictor"]["containers"]
    assert isinstance(one, dict)
    return one


def test_command_probes_secret_and_folders(tmp_path: Path) -> None:
    spec, checkout, archives = container(), tmp_path / "zoo", tmp_path / "models"
    checkout.mkdir()
    for source in re.findall(r"^COPY (\S+) ", CONTAINERFILE, re.MULTILINE):
        ignored = shutil.ignore_patterns("__pycache__")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, checkout / source, ignore=ignored)
        else:
            shutil.copyfile(ROOT / source, checkout / source)
    make(archives, "baseline", network_of(0))
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["volumeMounts"]}
    folders = {name: checkout / Path(path).relative_to(WORKDIR) for name, path in mounts.items() if name != "tmp"}
    secret = Keys(folders["keys"] / "api_keys.json").add("phone", ["classify"], "60/minute")
    (folders["keys"] / "api_keys.json").chmod(0o444)
    folders["keys"].chmod(0o555)
    folders["runs"].mkdir()
    before = {file for file in checkout.rglob("*") if not file.is_relative_to(folders["runs"])}

    port, gateway = free_ports(), free_ports()
    here = {"python": sys.executable, "/mnt/models": str(archives), "0.0.0.0": "127.0.0.1"}
    command = [here.get(word, word) for word in spec["command"]]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LESION_ZOO_ROOT")}
    environment |= {one["name"]: one["value"] for one in spec["env"]} | {"PYTHONDONTWRITEBYTECODE": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--gateway-port", str(gateway)],
            cwd=checkout,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "it serves until" in (tmp_path / "log").read_text() or process.poll() is not None, "an answer")
        assert process.poll() is None, (tmp_path / "log").read_text()
        url = f"http://127.0.0.1:{gateway}"
        for probe in ("readinessProbe", "livenessProbe"):
            assert httpx.get(url + spec[probe]["httpGet"]["path"], trust_env=False).status_code == 200
            assert spec[probe]["httpGet"]["port"] == spec["ports"][0]["containerPort"] == 8000
        headers = {"Authorization": f"Bearer {secret}"}
        picture = file_of(Image.effect_noise((PIXELS, PIXELS), 80).convert("RGB"))
        answer = httpx.post(f"{url}/v1/classify", content=picture, headers=headers, trust_env=False)
        assert answer.status_code == 200
        assert httpx.post(f"{url}/v1/classify", content=picture, trust_env=False).status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        folders["keys"].chmod(stat.S_IRWXU)
    after = {file for file in checkout.rglob("*") if not file.is_relative_to(folders["runs"])}
    assert after == before, "it wrote elsewhere than the manifest lets it"


def test_ports_and_user_are_the_containers() -> None:
    spec = container()
    exposed = re.findall(r"^EXPOSE (.*)$", CONTAINERFILE, re.MULTILINE)[0].split()
    assert str(spec["ports"][0]["containerPort"]) in exposed
    assert re.search(r"^USER zoo$", CONTAINERFILE, re.MULTILINE)
    assert spec["securityContext"]["runAsUser"] == 1000  # the first that useradd makes
