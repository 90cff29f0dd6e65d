"""A real Ray of two nodes on this machine: its folder, its processes, and a node's sudden death."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.servers import free_ports

NODES = {"head": "127.0.0.2", "other": "127.0.0.3"}
"""The loopback has more addresses than the one: each node has its own."""
MARK = "LESION_ZOO_TESTED_NODE"


PROMPT = {"period_ms": 1000, "timeout_ms": 3000, "failure_threshold": 3}
"""How the head finds out that a node is dead: docs/scaling.md has the same. Ray's own figures take some 15 s."""


class Cluster:
    """Ray with all its files in one folder; it ends only processes that have its mark."""

    def __init__(self) -> None:
        # Not pytest's folder: below it are sockets, whose paths are limited to 107 letters.
        self._files = tempfile.TemporaryDirectory(prefix="lz-nodes-", dir="/tmp")
        self.folder, self.address = Path(self._files.name), f"{NODES['head']}:{free_ports()}"
        self.environment = {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        """What a driver's environment needs."""
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both nodes; return when Ray knows them."""
        head = ("--head", f"--port={self.address.partition(':')[2]}", "--include-dashboard=false")
        prompt = {f"health_check_{name}": value for name, value in PROMPT.items()}
        self.start_node("head", *head, f"--system-config={json.dumps(prompt)}")
        self.start_node("other", f"--address={self.address}")
        deadline = time.monotonic() + 180
        while self.alive() != 2:
            assert time.monotonic() < deadline, self.log("head") + self.log("other")
            assert all(started.poll() is None for started in self._started), self.log("head") + self.log("other")
            time.sleep(0.5)

    def start_node(self, name: str, *options: str) -> None:
        """Start a node of two processors."""
        ports, command = free_ports(), [str(Path(sys.executable).with_name("ray")), "start", "--block"]
        own = [f"--node-ip-address={NODES[name]}", "--num-cpus=2", "--min-worker-port=0", "--max-worker-port=0"]
        own += [f"--temp-dir={self.folder}"] if name == "head" else []
        more = ("--object-store-memory=100000000", f"--dashboard-agent-listen-port={ports}", "--disable-usage-stats")
        environment = {**os.environ, **self.environment, MARK: self._mark(name)}
        environment.pop("RAY_ADDRESS")
        with (self.folder / f"{name}.log").open("ab") as output:
            self._started.append(
                subprocess.Popen(
                    [*command, *own, *more, *options], env=environment, cwd="/", stdout=output, stderr=output
                )
            )

    def alive(self) -> int:
        """How many nodes Ray knows to live."""
        code = "import ray, json; ray.init(log_to_driver=False, configure_logging=False); "
        code += "print(json.dumps(sum(node['Alive'] for node in ray.nodes())))"
        asked = [sys.executable, "-c", code]
        try:
            done = subprocess.run(asked, env=os.environ | self.environment, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:  # on a machine that is slow
            return 0
        return int(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else 0

    def log(self, name: str) -> str:
        """What a node wrote."""
        return (self.folder / f"{name}.log").read_text()

    def processes(self, name: str) -> list[psutil.Process]:
        """All of a node, its replicas among them."""
        mark, processes = self._mark(name), []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark:
                    processes.append(process)
        return processes

    def kill_node(self, name: str) -> int:
        """Kill a node and all that runs on it, at once, as a power cut would; returns how many processes that were."""
        processes = self.processes(name)
        for process in processes:  # nobody is to report the end of the others
            with suppress(psutil.Error):
                process.suspend()
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        return len(processes)

    def stop(self) -> None:
        """End everything."""
        for name in NODES:
            self.kill_node(name)
        for started in self._started:
            started.wait()
        self._files.cleanup()

    def _mark(self, name: str) -> str:
        return f"{self.folder}:{name}"


def missing() -> list[str]:
    """What is not installed that a cluster needs."""
    return [] if Path(sys.executable).with_name("ray").exists() else ["ray"]
