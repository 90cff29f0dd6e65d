"""Serves a study's archives with TorchServe: start and wait until every version answers, stop, status, logs."""

import io
import json
import re
import shlex
import sys
import time
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from PIL import Image
from rich.table import Table
from tqdm import tqdm

from lesions.files import file_lock
from zoo.packaging import manifest
from zoo.packaging.archive import MODELS
from zoo.serving.champion import ChampionError, current, is_retrained
from zoo.serving.torchserve.process import EVERYWHERE, LOOPBACK, ServerError, halt, last_words, launch, state, tail

DEATHS = 2
"""A version whose worker has died so often is given up on (TorchServe goes on trying for five minutes)."""


class Version(NamedTuple):
    """One served version; it is `ready` if a worker can answer, on `port`."""

    model: str
    name: str
    ready: bool
    workers: int
    port: int


def start(
    archives: Path, folder: Path, port: int, seconds: float = 180, sample: Path | None = None, host: str = LOOPBACK
) -> None:
    """Serve every .mar of `archives` on `port`; returns when each version has answered a picture.

    An archive that is not what the manifest says is refused before TorchServe sees it.
    The server's files live in `folder`. One that runs already is left alone if it serves these very archives on this
    port and `host` (`LOOPBACK` or `EVERYWHERE`), and replaced otherwise. The champion becomes the default version
    again. `sample` is the picture that the printed curl line sends. Raises `ServerError` within `seconds` where there
    is nothing to serve, a port is taken, the server dies, or versions cannot be served; in the last case the others
    are.
    """
    with file_lock(folder):  # another `make serve`
        _start(archives, folder, port, seconds, sample, host)


def _start(archives: Path, folder: Path, port: int, seconds: float, sample: Path | None, host: str) -> None:
    if host not in (LOOPBACK, EVERYWHERE):
        raise ServerError(f"HOST={host}: it is {LOOPBACK} (this machine only) or {EVERYWHERE} (all its networks)")
    checked = manifest.verify(archives)
    digests = {name: archive.sha256 for name, archive in checked.items()}
    archives, folder = archives.resolve(), folder.resolve()
    expected, failures = _expected(archives, {name: archive.trouble for name, archive in checked.items()})
    if not expected:
        raise ServerError("\n".join([f"no archive in {archives}/; make them first: make zoo", *failures.values()]))
    found = state(folder)
    wanted = {"archives": digests, "port": port, "host": host}
    runs = found is not None and {key: found.get(key) for key in wanted} == wanted
    if runs:
        print(f"already running on port {port} with these {len(digests)} archives")
    elif halt(folder):
        print("was running with other archives, or on another port or host: starting again")
    if host != LOOPBACK:
        print(f"warning: port {port} answers every machine that reaches this one: with a token only, but unencrypted")
    try:
        if not runs:
            launch(archives, list(expected), folder, port, digests, host)
        try:
            _wait(list(expected.values()), failures, folder, port, time.monotonic() + seconds)
        finally:
            if state(folder) is not None:  # some are served, even where others cannot be
                _apply_champion(archives, folder, port)
    except KeyboardInterrupt:  # the server has a session of its own and would live on
        halt(folder)
        raise
    # min: a classifier before a generator
    model, name = min(expected.values())
    _print_call(folder, f"http://127.0.0.1:{port}/predictions/{model}/{name}", sample)


def stop(folder: Path) -> None:
    """Stop the server of `folder` and all its workers."""
    print("stopped" if halt(folder.resolve()) else "nothing is running")


def running(folder: Path) -> int | None:
    """The port of the server of `folder`, or None if none runs."""
    found = state(folder)
    return None if found is None else int(found["port"])


def status(folder: Path) -> Table:
    """A table of every served version. Raises `ServerError` as `versions` does."""
    table = Table("model", "version", "state", "workers", "port")
    for version in versions(folder):
        readiness = "ready" if version.ready else "not ready"
        table.add_row(version.model, version.name, readiness, str(version.workers), str(version.port))
    return table


def versions(folder: Path) -> list[Version]:
    """Every served version. Raises `ServerError` where no server runs, or it does not answer."""
    port = running(folder)
    if port is None:
        raise ServerError("nothing is running; start it: make serve")
    try:
        with _client() as client:
            models = [model["modelName"] for model in _manage(client, folder, port, "models")["models"]]
            rows = [row for model in models for row in _manage(client, folder, port, f"models/{model}/all")]
    except (httpx.HTTPError, LookupError, OSError, TypeError, ValueError) as error:
        raise ServerError(f"the server on port {port} does not answer ({error}); see: make logs") from None
    return sorted(
        Version(row["modelName"], row["modelVersion"], _ready(row), len(row["workers"]), port) for row in rows
    )


def logs(folder: Path, lines: int = 40) -> None:
    """Print the last `lines` of each of the server's logs; its workers write into model_log.log."""
    files = [file for name in ("ts_log.log", "model_log.log") if (file := folder / "logs" / name).exists()]
    for file in files:
        print(f"==> {file} <==\n{tail(file, lines)}\n")
    if not files:
        print(f"no logs in {folder / 'logs'}/")


def token(key_file: Path, management: str, kind: str, renew: bool, client: httpx.Client) -> str:
    """A valid token of `kind` ("inference" or "management") of the server with the management URL `management`.

    TorchServe's tokens are valid for 60 minutes; a stale one is renewed, as is any with `renew`. Raises `OSError`,
    `ValueError`, `KeyError`, `TypeError` or `httpx.HTTPError` where there is no key file of ours, or no server.
    """
    keys = json.loads(key_file.read_text())
    expires = datetime.fromisoformat(re.sub(r"\.\d+", "", keys[kind]["expiration time"]))  # it has nanoseconds
    if renew or expires <= datetime.now(UTC):
        headers = {"Authorization": f"Bearer {keys['API']['key']}"}
        client.get(f"{management}/token", params={"type": kind}, headers=headers).raise_for_status()
        keys = json.loads(key_file.read_text())
    return str(keys[kind]["key"])


def _expected(archives: Path, troubles: Mapping[str, str]) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Model and version of each archive, by file; and why others cannot be served, by name.

    `troubles` says for each file why the manifest refuses it, if it does.
    """
    expected, failures = {}, {}
    for name, trouble in troubles.items():
        file = archives / name
        if trouble:
            failures[file.stem] = trouble
            continue
        try:
            with zipfile.ZipFile(file) as archive:
                model = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
            expected[name] = (str(model["modelName"]), str(model["modelVersion"]))
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            failures[file.stem] = f"{file} is not an archive ({error}); delete it and make it again"
    return expected, failures


def _wait(pending: list[tuple[str, str]], failures: dict[str, str], folder: Path, port: int, deadline: float) -> None:
    """Return when every version has answered a picture. Raises `ServerError` when some never will."""
    total = len(pending) + len(failures)
    with _client() as client, tqdm(total=total, desc="versions ready", unit="version", disable=None) as bar:
        while pending:
            if state(folder) is None:
                halt(folder)
                raise ServerError(f"TorchServe died:\n{last_words(folder)}")
            late = time.monotonic() > deadline
            for model, name in list(pending):
                reason = _trouble(client, folder, port, model, name)
                if reason is None and late:
                    reason = f"no answer in time. {_last_words(folder, model, name)}"
                if reason is not None:
                    pending.remove((model, name))
                    failures |= {name: reason} if reason else {}
                    bar.update(not reason)
            time.sleep(0.5)
    if failures:
        left = total - len(failures)
        if not left:
            halt(folder)
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
        rest = f"The other {left} are served on port {port}." if left else "Nothing is left to serve: stopped."
        raise ServerError(f"{len(failures)} of {total} versions cannot be served:\n{reasons}\n{rest}")


def _trouble(client: httpx.Client, folder: Path, port: int, model: str, name: str) -> str | None:
    """Why a version cannot be served; "" once it has answered a request; None as long as neither is known."""
    try:
        if _ready(_manage(client, folder, port, f"models/{model}/{name}")[0]):
            key = token(folder / "key_file.json", f"http://127.0.0.1:{port + 1}", "inference", False, client)
            generates = model == MODELS["generator"].name
            question = b'{"class": "nv"}' if generates else _picture()
            headers = {
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json" if generates else "image/png",
            }
            url = f"http://127.0.0.1:{port}/predictions/{model}/{name}"
            if client.post(url, content=question, headers=headers).is_success:
                return ""
    except httpx.HTTPStatusError as error:  # it answers when all archives are unpacked, so what it lacks now, it lacks
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return f"TorchServe could not unpack it; see {folder / 'logs' / 'ts_log.log'}"
    except (OSError, ValueError, LookupError, TypeError, httpx.HTTPError):
        return None  # not up yet
    died = sum("worker process died" in line for line in _written(folder, f"{model}_{re.escape(name)}"))
    return _last_words(folder, model, name) if died >= DEATHS else None


def _apply_champion(archives: Path, folder: Path, port: int) -> None:
    """Make the champion the default version again, which TorchServe forgets; prints what became of it."""
    try:
        champion = current(archives)
    except ChampionError as error:
        print(f"warning: {error}")
        return
    if champion is None:
        return
    try:
        with _client() as client:
            _manage(client, folder, port, f"models/{MODELS['classifier'].name}/{champion.entry}/set-default", "PUT")
    except (OSError, ValueError, LookupError, TypeError, httpx.HTTPError) as error:
        print(f"warning: the champion, {champion.entry}, is not the default version ({error}); make promote ENTRY=...")
    else:
        print(f"champion: {champion.entry}, since {champion.since[:10]}")
        if is_retrained(archives, champion):
            print("warning: it was made anew since; score and promote it again: make compare promote ENTRY=...")


def _client() -> httpx.Client:
    return httpx.Client(timeout=10, trust_env=False)  # loopback: through no proxy


def _manage(client: httpx.Client, folder: Path, port: int, path: str, method: str = "GET") -> Any:
    url = f"http://127.0.0.1:{port + 1}"
    headers = {"Authorization": f"Bearer {token(folder / 'key_file.json', url, 'management', False, client)}"}
    answer = client.request(method, f"{url}/{path}", headers=headers)
    return answer.raise_for_status().json()


def _ready(row: dict[str, Any]) -> bool:
    return any(worker["status"] == "READY" for worker in row["workers"])


def _picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "tan").save(content, "PNG")
    return content.getvalue()


def _written(folder: Path, version: str) -> list[str]:
    """What the workers of a version, a regular expression for model_version, have written."""
    try:
        text = (folder / "logs" / "model_log.log").read_text(errors="replace")
    except OSError:
        return []
    return re.findall(rf"^\S+ \[\w+ *\] W-\d+-{version}-std(?:out|err) MODEL_LOG - (.*)$", text, re.MULTILINE)


def _last_words(folder: Path, model: str, name: str) -> str:
    """The first error that a version's workers have written: what follows from it comes later."""
    inside = False
    for line in _written(folder, f"{model}_{re.escape(name)}"):
        if inside and not line.startswith(" "):
            return line
        inside = line.startswith("Traceback") or inside
    return f"see {folder / 'logs' / 'model_log.log'}"


def _print_call(folder: Path, url: str, sample: Path | None) -> None:
    """Print a curl line that works as it stands: it reads the token out of the key file."""
    read = f"import json; print(json.load(open({str(folder / 'key_file.json')!r}))['inference']['key'])"
    key = shlex.join([sys.executable, "-c", read])
    upload = shlex.quote(f"image=@{sample or 'mole.jpg'}")
    print(f'try:\ncurl -F {upload} -H "Authorization: Bearer $({key})" {url}')
