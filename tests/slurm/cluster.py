"""A real Slurm of two nodes on this machine, without systemd: its folder, its daemons, and a node's sudden death."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.servers import free_ports

COMMANDS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "sinfo")
NODES = ("d1", "d2")
CONFIGURATION = """\
ClusterName=lesions
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthInfo=socket={folder}/munge/socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
NodeName=d1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 RealMemory=1000
NodeName=d2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 RealMemory=1000
PartitionName=all Nodes=d1,d2 Default=YES
"""


def missing() -> list[str]:
    """The commands of Slurm that are not installed."""
    return [command for command in COMMANDS if shutil.which(command, path=_path()) is None]


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


class Cluster:
    """Slurm with all its files in one folder. It ends only processes that have its configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.configuration = folder, folder / "slurm.conf"
        for name in ("munge", "state"):
            (folder / name).mkdir(mode=0o700)
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        port = free_ports()
        self.configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                user=pwd.getpwuid(os.getuid()).pw_name,
                folder=folder,
                port=port,
                first=port + 1,
                second=port + 2,
            )
        )
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": str(self.configuration), "PATH": _path()}

    def start(self) -> None:
        """Start the daemons; return when both nodes are idle."""
        munge = self.folder / "munge"
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._start("munged", "-F", "-f", *(f"--{option}={munge / file}" for option, file in files.items()))
        deadline = time.monotonic() + 30
        while not (munge / "socket").exists():
            assert time.monotonic() < deadline, self.log("munged")
            time.sleep(0.05)
        self._start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        while self.states() != dict.fromkeys(NODES, "idle"):
            assert time.monotonic() < deadline, self.log("slurmctld")
            time.sleep(0.1)

    def start_node(self, node: str) -> None:
        """Start a node, or start it again after its death."""
        self._start("slurmd", "-D", "-N", node, log=node)

    def _start(self, *command: str, log: str = "") -> None:
        with (self.folder / f"{log or command[0]}.log").open("ab") as output:
            started = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        self.daemons.append(started)

    def log(self, name: str) -> str:
        """What a daemon or a node wrote."""
        return (self.folder / f"{name}.log").read_text()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of Slurm's."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)

    def states(self) -> dict[str, str]:
        """The state of each node."""
        lines = self.run("sinfo", "-h", "-N", "-o", "%N %T").stdout.splitlines()
        return {node: state for node, _, state in (line.partition(" ") for line in lines)}

    def kill_node(self, node: str) -> None:
        """Kill a node and all that runs on it, at once, as a power cut would."""
        tasks = [process for process in self._processes() if _environment(process).get("SLURMD_NODENAME") == node]
        parents = [parent for task in tasks if (parent := task.parent()) and "slurmstepd" in parent.name()]
        daemons = [process for process in self._processes() if process.cmdline()[-2:] == ["-N", node]]
        _kill([*daemons, *parents, *tasks])  # the watched last: nobody is to report their end

    def stop(self) -> None:
        """End everything."""
        _kill(self._processes())
        for daemon in self.daemons:
            daemon.wait()

    def _processes(self) -> list[psutil.Process]:
        mine = str(self.configuration)
        return [process for process in psutil.process_iter() if _environment(process).get("SLURM_CONF") == mine]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
