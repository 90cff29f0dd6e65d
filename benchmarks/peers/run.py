"""Starts and stops peers: other servers of the same network, each as its own documentation has it.

    settings = Settings(architecture, weights, pixels, mean, std).write(folder / "settings.json")
    with serving("litserve", settings, port, make_venv(folder / "venv")) as peer, httpx.Client() as client:
        probabilities = peer.post(client, jpeg)

All have one worker of one thread, batches of up to 8 images, and the environment of our own workers. They answer on
this machine only and report to nobody.
"""

import contextlib
import dataclasses
import io
import os
import secrets
import socket
import subprocess
import sysconfig
import time
import venv as venvs
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {
    # What our own workers have (zoo.serving.torchserve.process).
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    # The two above hold for the main thread's arena only, and BentoML and Ray compute in another thread. In a bare
    # thread this saves some 10,000 page faults a batch at 224 px; through the servers no difference was measured.
    "MALLOC_ARENA_MAX": "1",
    # Usage reports of each are off.
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's own servers stay on this machine, as on macOS: it takes no `_node_ip_address` of 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}


class PeerError(Exception):
    """A peer that could not be installed, does not start, or gives no answer."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """One peer that runs."""

    name: str
    url: str
    """Where images are posted to."""

    def post(self, client: httpx.Client, content: bytes) -> NDArray[np.float64]:
        """Probabilities, [classes], of an image file. Thread-safe, as `client` is. Raises `httpx.HTTPError`."""
        return np.array(KINDS[self.name].ask(client, self.url, content), dtype=np.float64)


def make_venv(folder: Path) -> Path:
    """A virtual environment with what `requirements.txt` pins, made once; returns `folder`.

    torch, timm and pillow come from the environment that runs this: behind the peers' own packages, by a .pth file.
    Raises `PeerError` where pip fails.
    """
    done, wanted = folder / "installed.txt", REQUIREMENTS.read_text(encoding="utf-8")
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return folder
    venvs.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "-r", str(REQUIREMENTS)], capture_output=True, text=True)
    if installed.returncode:
        raise PeerError(f"the peers cannot be installed:\n{_last_lines(installed.stderr)}")
    theirs = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # Written last: pip would take what it sees there for installed. "zz": read after their own .pth files.
    (theirs / "zz_main.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    done.write_text(wanted, encoding="utf-8")
    return folder


@contextlib.contextmanager
def serving(name: str, settings: Path, port: int, venv: Path, seconds: float = 120) -> Iterator[Peer]:
    """The peer `name` on `port`, after its first answer; stopped at the end. Raises `PeerError`.

    `settings` are those of `model.Settings`. What it writes lies beside them, in a folder of its name. That path has to
    be short for Ray, whose sockets lie in it: at most about 40 characters.
    """
    process, started = start(name, venv, settings, port), frozenset[psutil.Process]()
    try:
        peer = Peer(name, f"http://{LOOPBACK}:{port}{KINDS[name].path}")
        wait_ready(process, peer, _log(name, settings), seconds)
        started = frozenset(_tree(process))
        yield peer
    finally:
        stop(process, started)


def start(name: str, venv: Path, settings: Path, port: int) -> psutil.Popen:
    """Start the peer `name`; it is not ready yet. Its output goes into a file in its folder.

    Raises `PeerError` where the port is taken, since another server would answer.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was in use just now is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PeerError(f"{name} cannot have port {port} ({error})") from None
    log = _log(name, settings)
    log.parent.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "BENTOML_"))}
    environment |= ENVIRONMENT | {
        "PYTHONPATH": str(REPOSITORY),
        "PEER_SETTINGS": str(settings.resolve()),
        "BENTOML_HOME": str(log.parent.resolve()),
        "TMPDIR": str(log.parent.resolve()),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else Ray writes one into the home folder
    }
    command = KINDS[name].command(venv.resolve() / "bin", port, log.parent.resolve())
    with log.open("wb") as output:
        return psutil.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # `stop` finds by it what the peer has left behind
        )


def wait_ready(process: psutil.Popen, peer: Peer, log: Path, seconds: float = 120) -> None:
    """Wait until `peer` has answered once. Raises `PeerError` where it ends, or takes longer than `seconds`."""
    content, end = io.BytesIO(), time.monotonic() + seconds
    Image.new("RGB", (32, 32)).save(content, "JPEG")
    with httpx.Client(timeout=30) as client:
        while True:
            try:
                peer.post(client, content.getvalue())
                return
            except httpx.HTTPError as error:
                ended = process.poll() is not None
                if ended or time.monotonic() > end:
                    happened = "has ended" if ended else f"gives no answer ({error})"
                    raise PeerError(
                        f"{peer.name} {happened}: {log}\n{_last_lines(log.read_text(errors='replace'))}"
                    ) from None
                time.sleep(0.2)


def stop(process: psutil.Popen, known: frozenset[psutil.Process] = frozenset(), seconds: float = 20) -> None:
    """End `process` and all that it has started: first kindly, then what is left after `seconds` by force.

    `known` are processes that it had earlier: BentoML's worker, in a session of its own, cannot be found any more after
    its parent was killed.
    """
    started = _tree(process) | known
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    psutil.wait_procs(started, seconds)
    left = {each for each in started | _tree(process) if each.is_running()}
    for each in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, seconds)


def _tree(process: psutil.Popen) -> set[psutil.Process]:
    """`process`, its descendants, and what is in its session: there, too, are those whose parent has ended."""
    found: set[psutil.Process] = {process}
    with contextlib.suppress(psutil.NoSuchProcess):
        found |= set(process.children(recursive=True))
    for each in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(each.pid) == process.pid:
                found.add(each)
    return found


def _log(name: str, settings: Path) -> Path:
    return settings.parent / name / "output.log"


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])


# ---- how each is started and asked


@dataclasses.dataclass(frozen=True)
class _Kind:
    path: str
    """Of the URL."""
    command: Callable[[Path, int, Path], list[str]]
    """The command, from the folder of programs, the port, and the folder that it may write to."""
    ask: Callable[[httpx.Client, str, bytes], list[float]]
    """Post an image file; returns probabilities."""


def _ask_litserve(client: httpx.Client, url: str, content: bytes) -> list[float]:
    answer = client.post(url, files={"request": ("image.jpg", content, "image/jpeg")}).raise_for_status()
    row: list[float] = answer.json()["probabilities"]
    return row


def _ask_bentoml(client: httpx.Client, url: str, content: bytes) -> list[float]:
    answer = client.post(url, files={"images": ("image.jpg", content, "image/jpeg")}).raise_for_status()
    rows: list[list[float]] = answer.json()
    return rows[0]


def _ask_ray(client: httpx.Client, url: str, content: bytes) -> list[float]:
    answer = client.post(url, content=content, headers={"Content-Type": "image/jpeg"}).raise_for_status()
    row: list[float] = answer.json()
    return row


def _litserve(programs: Path, port: int, folder: Path) -> list[str]:
    return [str(programs / "python"), "-m", "benchmarks.peers.litserve_app", str(port)]


def _bentoml(programs: Path, port: int, folder: Path) -> list[str]:
    service = "benchmarks.peers.bentoml_app:Classifier"
    place = ["--working-dir", str(REPOSITORY), "--host", LOOPBACK, "--port", str(port)]
    return [str(programs / "bentoml"), "serve", service, *place]


def _ray(programs: Path, port: int, folder: Path) -> list[str]:
    return [str(programs / "python"), "-m", "benchmarks.peers.ray_app", str(port), str(folder)]


KINDS = {
    "litserve": _Kind("/predict", _litserve, _ask_litserve),
    "bentoml": _Kind("/classify", _bentoml, _ask_bentoml),
    "ray": _Kind("/", _ray, _ask_ray),
}
"""The peers, by name."""
