"""`make serve`: check archives against the manifest, start the runtime, and make the champion the default version."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from lesions.files import file_lock
from zoo.kinds.classifier import CLASSIFIER
from zoo.packaging import manifest
from zoo.packaging.archive import ArchiveError, identify
from zoo.serving import champion
from zoo.serving.champion import ChampionError
from zoo.serving.http import ServerError
from zoo.serving.limits import Limits
from zoo.serving.limits import limits as default_limits
from zoo.serving.process import listening
from zoo.serving.runtime import ALL_NETWORKS, LOOPBACK, PATIENCE, Front, Runtime, ServeRequest, runtime_of


def serve(
    runtime: Runtime,
    archives: Path,
    folder: Path,
    port: int,
    seconds: float = PATIENCE,
    host: str = LOOPBACK,
    limits: Limits | None = None,
    front: Front | None = None,
    checked: Callable[[], object] = lambda: None,
) -> tuple[str, str]:
    """Serve every .mar of `archives` on `port`; returns model and version of one when each has answered a request.

    An archive that is not what the manifest says is refused before the runtime sees it. The server's files live in
    `folder`; a server there that was started otherwise is stopped, once it is known that the ports are free. Of one
    that goes on, old tokens are renewed. The champion becomes the default version again.
    `host` is `LOOPBACK` or `ALL_NETWORKS`. `front` is for a runtime that hosts it. `checked` is called when nothing
    speaks against the start, and before anything is started or stopped. Raises `ServerError` where there is nothing to
    serve, a port is taken, the server dies, or versions cannot be served; in the last case the others are. Versions
    are given up when no further one answers for `seconds`.
    """
    if host not in (LOOPBACK, ALL_NETWORKS):
        raise ServerError(f"HOST={host}: it is {LOOPBACK} (this machine only) or {ALL_NETWORKS} (all its networks)")
    with file_lock(folder):  # another `make serve`
        verified = manifest.verify(archives)
        refused = {Path(name).stem: archive.problem for name, archive in verified.items() if archive.problem}
        versions: dict[str, tuple[str, str]] = {}
        for name, archive in verified.items():
            if not archive.problem:
                try:
                    versions[name] = identify(archives / name)
                except ArchiveError as error:
                    refused[Path(name).stem] = str(error)
        if not versions:
            reasons = [f"no archive in {archives.resolve()}/; make them first: make zoo", *refused.values()]
            raise ServerError("\n".join(reasons))
        if host != LOOPBACK:
            print(f"warning: port {port} answers every machine that reaches it: with a token only, but unencrypted")
        digests = {name: archive.sha256 for name, archive in verified.items()}
        request = ServeRequest(folder.resolve(), port, host, digests, limits or default_limits(), seconds, front)
        other = runtime_of(request.folder)
        ours = [process for one in (runtime, other) for process in one.processes(request.folder)]
        runtime.check(request, listening(ours))
        checked()
        if other.name != runtime.name and other.stop(request.folder):
            print(f"was served by {other.name}: stopped, to serve by {runtime.name}")
        try:
            failures = refused | runtime.start(archives.resolve(), versions, request)
        except KeyboardInterrupt:  # the server has a session of its own and would live on
            runtime.stop(request.folder)
            raise
        total = len(versions) + len(refused)
        if len(failures) < total:
            _renew_credentials(runtime, request.folder)
            _apply_champion(runtime, archives, request.folder)
            rest = f"The other {total - len(failures)} are served on port {port}."
        else:
            runtime.stop(request.folder)
            rest = "Nothing is left to serve: stopped."
        if failures:
            reasons = [f"  {name}: {reason}" for name, reason in failures.items()]
            raise ServerError("\n".join([f"{len(failures)} of {total} versions cannot be served:", *reasons, rest]))
        return min(versions.values())  # a classifier before a generator


def wait(runtime: Runtime, folder: Path) -> None:
    """Return when a signal (Ctrl-C, SIGTERM) has stopped the server of `folder`, as containers need it; prints a line.

    Raises `NoServerError` when the server has ended otherwise.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print("it serves until Ctrl-C, or SIGTERM", flush=True)
        while True:
            runtime.connect(folder).close()
            time.sleep(1)
    except KeyboardInterrupt:
        runtime.stop(folder.resolve())


def _renew_credentials(runtime: Runtime, folder: Path) -> None:
    """Renew credentials that have expired or soon will."""
    server = runtime.connect(folder)
    try:
        server.renew_credentials()
    finally:
        server.close()


def _apply_champion(runtime: Runtime, archives: Path, folder: Path) -> None:
    """Make the champion the default version again, which a runtime forgets; prints the result."""
    try:
        current = champion.current(archives)
        if current is None:
            return
        runtime.connect(folder).set_default(CLASSIFIER.model, current.entry)
    except ChampionError as error:
        print(f"warning: {error}")
    except ServerError as error:
        print(f"warning: the champion, {current and current.entry}, is not the default version ({error})")
    else:
        print(f"champion: {current.entry}, since {current.since[:10]}")
        if champion.is_retrained(archives, current.entry, current.weights_sha256):
            print("warning: it was trained anew since; score and promote it again: make compare promote ENTRY=...")
