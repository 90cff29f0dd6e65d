"""`make serve` again: what makes it start anew, what it leaves alone, and what it prints works. Real servers."""

import json
import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.faults.small_zoo import made
from tests.images import file_of
from tests.servers import SERVED_BY, connect, free_ports, pack, start, state, stop
from tests.zoo.serving.champions import promoted
from zoo.packaging.manifest import install
from zoo.serving import champion, limits
from zoo.serving import start as serving
from zoo.serving.connection import KEY_FILE, upload
from zoo.serving.http import ServerError
from zoo.serving.limits import Limits
from zoo.serving.rest import runtime as hosted_runtime
from zoo.serving.runtime import LOOPBACK, STATE, get_runtime
from zoo.serving.torchserve import process as torchserve
from zoo.serving.torchserve import server as torchserve_runtime

pytestmark = pytest.mark.server

USUAL = Limits(20_000_000, 7)
RUNNING, OTHER = "already running on port", "was running with other settings: starting again"


class Served:
    """A server of one classifier."""

    def __init__(self, root: Path, runtime: str) -> None:
        self.runtime, self.port, self.store, self.folder = runtime, free_ports(), root / "store", root / "serve"
        entry, model = made("classifier", root)
        pack(entry, model, self.store / "baseline.mar")

    def start(self, port: int | None = None, limits: Limits = USUAL, runtime: str = "") -> None:
        start(self.store, self.folder, port or self.port, limits=limits, runtime=runtime or self.runtime)

    def pid(self) -> int:
        running = state(self.folder)
        assert running is not None
        return int(running["pid"])

    def keys(self) -> dict[str, dict[str, str]]:
        return dict(json.loads((self.folder / KEY_FILE).read_text()))


@pytest.fixture(scope="module", params=SERVED_BY)
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("zoo") / "it's a zoo, [1] \u00e9"
    root.mkdir()
    served = Served(root, request.param)
    try:
        served.start()
        yield served
    finally:
        stop(served.folder)


def test_the_limits_hold(served: Served) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2240, 2240, 3), np.uint8)
    picture = file_of(Image.fromarray(noise))
    assert 15_000_000 < len(picture) < 20_000_000
    with connect(served.folder, served.port) as zoo:
        assert zoo.classify(picture, "baseline")["entry"] == "baseline"
        with pytest.raises(ServerError, match=r"21,000,000 bytes are more than .* make serve MAX_REQUEST_MB=30$"):
            zoo.classify(bytes(21_000_000), "baseline")
    left = datetime.fromisoformat(served.keys()["inference"]["expiration time"][:19] + "+00:00") - datetime.now(UTC)
    assert timedelta(minutes=5) < left <= timedelta(minutes=7)
    server = get_runtime(served.runtime).connect(served.folder)
    assert server.max_request_bytes == 20_000_000
    server.close()


def test_again_it_goes_on_with_the_same_tokens(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    before = served.pid(), served.keys()
    served.start()
    assert (served.pid(), served.keys()) == before
    assert RUNNING in capsys.readouterr().out


def test_it_warns_of_a_champion_that_is_not_what_was_promoted(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(entry: str, weights_sha256: str) -> str:
        champion.append(served.store, promoted(entry, weights_sha256))
        capsys.readouterr()
        served.start()
        return capsys.readouterr().out

    with zipfile.ZipFile(served.store / "baseline.mar") as archive:
        weights = json.loads(archive.read("entry.json"))["weights_sha256"]
    try:
        assert "warning" not in (usual := printed("baseline", weights))
        assert "champion: baseline, since 2026-11-24" in usual
        assert "warning: it was trained anew since; score and promote it again" in printed("baseline", "another")
        assert "warning: the champion, transfer, is not the default version (" in printed("transfer", weights)
        (served.store / champion.FILE).write_text("{")
        capsys.readouterr()
        served.start()
        assert "champion.json is damaged; delete it, and promote again" in capsys.readouterr().out
    finally:
        (served.store / champion.FILE).unlink(missing_ok=True)


@pytest.mark.parametrize("left", [timedelta(minutes=-1), timedelta(minutes=1)])
def test_old_tokens_are_renewed(served: Served, left: timedelta) -> None:
    pid, before = served.pid(), served.keys()
    for kind in ("inference", "management"):
        before[kind]["expiration time"] = (datetime.now(UTC) + left).isoformat().replace("+00:00", "Z")
    (served.folder / KEY_FILE).write_text(json.dumps(before))
    served.start()
    assert served.pid() == pid
    after = served.keys()
    # The first renewal writes the true times of both kinds again, by which the other one is young.
    assert [kind for kind in before if before[kind]["key"] != after[kind]["key"]]
    works = {"Authorization": f"Bearer {after['inference']['key']}"}
    assert httpx.get(f"http://127.0.0.1:{served.port}/ping", headers=works, trust_env=False).status_code == 200


def test_the_printed_line_works_in_any_folder_and_behind_a_proxy(served: Served, tmp_path: Path) -> None:
    picture = served.folder.parent / 'a "mole", my; own\'s.jpg'
    picture.write_bytes(file_of(Image.new("RGB", (64, 64))))
    url = f"http://127.0.0.1:{served.port}/predictions/lesion_classifier/baseline"
    line = get_runtime(served.runtime).example_call(served.folder, url, upload(picture))
    (tmp_path / "json.py").write_text("raise SystemExit('not the library')")
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=os.environ | proxies, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, line + done.stderr
    assert json.loads(done.stdout)["entry"] == "baseline", done.stdout


def test_an_archive_that_is_refused_leaves_the_server_alone(served: Served) -> None:
    pid = served.pid()
    for file in (served.store / "download.mar", served.store / "again.mar"):
        if file.stem == "again":  # the same version once more, and in the manifest
            install(Path(shutil.copyfile(served.store / "baseline.mar", served.store / "packed")), file)
        else:
            file.write_bytes(b"garbage")
        try:
            with pytest.raises(ServerError) as caught:
                served.start()
        finally:
            file.unlink()
        first, refused, rest = str(caught.value).splitlines()
        assert first == "1 of 2 versions cannot be served:"
        assert refused.startswith(f"  {file.name}: not loaded: ")
        assert rest == f"Served on port {served.port}: the other 1."
        assert served.pid() == pid
    served.start()
    assert served.pid() == pid
    assert connect_versions(served) == ["baseline"]


def connect_versions(served: Served) -> list[str]:
    with connect(served.folder, served.port) as zoo:
        return zoo.versions()


@pytest.mark.parametrize("content", [None, "{}"], ids=["deleted", "damaged"])
def test_lost_tokens_start_it_again(served: Served, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    pid = served.pid()
    if content is None:
        (served.folder / KEY_FILE).unlink()
    else:
        (served.folder / KEY_FILE).write_text(content)
    served.start()
    assert f"was running, but no token in {served.folder / KEY_FILE}" in capsys.readouterr().out
    assert served.pid() != pid
    assert connect_versions(served) == ["baseline"]


def test_an_interrupted_start_stops_what_it_has_started_and_nothing_else(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> dict[str, str]:
        raise KeyboardInterrupt

    pid, other = served.pid(), tmp_path / "serve"
    for late in (False, True):
        for module in (serving,) if late else (torchserve_runtime, hosted_runtime):
            monkeypatch.setattr(module, "_apply_champion" if late else "_wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            served.start()
        assert served.pid() == pid
        with pytest.raises(KeyboardInterrupt):
            start(served.store, other, free_ports(), runtime=served.runtime)
        assert not (other / STATE).exists()
        assert get_runtime(served.runtime).processes(other.resolve()) == []
        monkeypatch.undo()


def test_a_taken_port_leaves_the_server_alone(served: Served) -> None:
    pid, other, port = served.pid(), next(name for name in SERVED_BY if name != served.runtime), free_ports()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port + 1))
        taken.listen()
        for runtime in (served.runtime, other):
            with pytest.raises(ServerError, match=rf"port {port + 1} \(management\): .*; choose another: make serve"):
                served.start(port, runtime=runtime)
    assert served.pid() == pid
    with connect(served.folder, served.port) as zoo:
        assert zoo.versions() == ["baseline"]


def test_other_settings_start_it_again(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = [served.pid()]

    def starts_again(port: int, limits: Limits) -> None:
        served.start(port, limits)
        assert OTHER in capsys.readouterr().out
        assert served.pid() not in pids
        pids.append(served.pid())
        served.start(port, limits)
        assert RUNNING in capsys.readouterr().out
        assert served.pid() == pids[-1]

    starts_again(served.port + 1, USUAL)  # four of its ports are those that it has
    starts_again(served.port + 1, Limits(USUAL.max_request_bytes, 8))
    edited = shutil.copyfile(limits.FILE, tmp_path / "config.properties")
    edited.write_text(edited.read_text().replace("max_request_size=10000000", "max_request_size=11000000"))
    monkeypatch.setattr(limits, "FILE", edited)
    monkeypatch.setattr(torchserve, "BASE", edited)
    starts_again(served.port + 1, limits.limits())
    if served.runtime == "torchserve":
        edited.write_text(edited.read_text().replace("job_queue_size=100", "job_queue_size=99"))
        starts_again(served.port + 1, limits.limits())
        assert "job_queue_size=99" in (served.folder / "config.properties").read_text()
    with connect(served.folder, served.port + 1) as zoo, pytest.raises(ServerError, match="MAX_REQUEST_MB=20"):
        zoo.classify(bytes(11_500_000), "baseline")
