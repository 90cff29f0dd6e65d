"""`make serve`: check archives against the manifest, start the runtime, and make the champion the default version."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from lesions.files import file_lock
from zoo.kinds.classifier import CLASSIFIER
from zoo.packaging import manifest
from zoo.packaging.archive import ArchiveError, identify
from zoo.serving import champion
from zoo.serving.champion import ChampionError
from zoo.serving.detached import uninterrupted
from zoo.serving.http import ServerError
from zoo.serving.limits import Limits
from zoo.serving.limits import limits as default_limits
from zoo.serving.process import listening
from zoo.serving.runtime import ALL_NETWORKS, LOOPBACK, PATIENCE, Front, Runtime, ServeRequest, runtime_of


def check_host(host: str) -> None:
    """Raise `ServerError` unless it is `LOOPBACK` or `ALL_NETWORKS`."""
    if host not in (LOOPBACK, ALL_NETWORKS):
        raise ServerError(f"HOST={host}: it is {LOOPBACK} (this machine only) or {ALL_NETWORKS} (all its networks)")


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
    partly: bool = False,
) -> tuple[str, str]:
    """Serve every .mar of `archives` on `port`; returns model and version of one when each has answered a request.

    An archive that is not what the manifest says is refused before the runtime sees it. The server's files live in
    `folder`; a server there that was started otherwise is stopped, once it is known that the ports are free. Of one
    that goes on, old tokens are renewed. The champion becomes the default version again.
    `host` is `LOOPBACK` or `ALL_NETWORKS`. `front` is for a runtime that hosts it. `checked` is called when nothing
    speaks against the start, and before anything is started or stopped. Raises `ServerError` where there is nothing to
    serve, a port is taken, the server dies, or versions cannot be served; in the last case the others are, and where
    `partly` is enough, a warning is printed instead. Versions are given up when no further one answers for `seconds`.
    """
    check_host(host)
    if not any(archives.glob("*.mar")):
        raise ServerError(f"no archive in {archives.resolve()}/; make them first: make zoo")
    with file_lock(folder):  # another `make serve`
        verified = manifest.verify(archives)
        refused = {name: archive.problem for name, archive in verified.items() if archive.problem}
        identified: dict[str, tuple[str, str]] = {}
        for name, archive in verified.items():
            if not archive.problem:
                try:
                    identified[name] = identify(archives / name)
                except ArchiveError as error:
                    refused[name] = str(error)
        versions: dict[str, tuple[str, str]] = {}
        # A file that is named as its version goes before copies of it, so that a running server goes on.
        for name, version in sorted(identified.items(), key=lambda item: Path(item[0]).stem != item[1][1]):
            if same := [file for file, other in versions.items() if other == version]:
                refused[name] = f"not loaded: {archives / name} is {version[1]}, as {same[0]} is"
            else:
                versions[name] = version
        if not versions:
            raise ServerError("\n".join(["no archive can be served:", *refused.values()]))
        if host != LOOPBACK:
            print(f"warning: port {port} answers every machine that reaches it: with a token only, but unencrypted")
        digests = {name: verified[name].sha256 for name in versions}
        request = ServeRequest(folder.resolve(), port, host, digests, limits or default_limits(), seconds, front)
        other = runtime_of(request.folder)
        ours = [process for one in (runtime, other) for process in one.processes(request.folder)]
        runtime.check(request, listening(ours))
        checked()
        if other.name != runtime.name and other.stop(request.folder):
            print(f"was served by {other.name}: stopped, to serve by {runtime.name}")
        total = len(versions) + len(refused)
        with ended_by_interrupt(runtime, request.folder, ours):
            failures = refused | runtime.start(archives.resolve(), versions, request)
            if len(failures) < total:
                _renew_credentials(runtime, request.folder)
                _apply_champion(runtime, archives, request.folder)
        if len(failures) < total:
            rest = f"Served on port {port}: the other {total - len(failures)}."
        else:
            runtime.stop(request.folder)
            rest = "Nothing is left to serve: stopped."
        served = [version for version in versions.values() if version[1] not in failures]
        if failures:
            reasons = [f"  {name}: {reason}" for name, reason in failures.items()]
            message = "\n".join([f"{len(failures)} of {total} versions cannot be served:", *reasons, rest])
            if not (partly and served):
                raise ServerError(message)
            print(f"warning: {message}")
        return min(served)  # a classifier before a generator


@contextmanager
def ended_by_interrupt(runtime: Runtime, folder: Path, before: Iterable[psutil.Process]) -> Iterator[None]:
    """Ctrl-C stops the server of `folder`, unless it is one that ran before: it would live on, in its own session."""
    try:
        yield
    except KeyboardInterrupt:
        with uninterrupted():
            started = runtime.processes(folder)
            if set(before).isdisjoint(started):
                if started:
                    with suppress(OSError):  # Ctrl-C ends also what reads our output, as in `make serve | tee log`
                        print("stopping what was started ...", flush=True)
                runtime.stop(folder)
        raise


@contextmanager
def until_signal(stop: Callable[[], object]) -> Iterator[None]:
    """Ends at Ctrl-C or SIGTERM, also while something starts: `stop` is called then. Containers need it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        with uninterrupted():
            stop()


def wait(runtime: Runtime, folder: Path) -> None:
    """Print a line, and wait for a signal. Raises `NoServerError` when the server of `folder` has ended."""
    print("it serves until Ctrl-C, or SIGTERM", flush=True)
    while True:
        runtime.connect(folder).close()
        time.sleep(1)


def _renew_credentials(runtime: Runtime, folder: Path) -> None:
    """Renew credentials that have expired or soon will."""
    with closing(runtime.connect(folder)) as server:
        server.renew_credentials()


def _apply_champion(runtime: Runtime, archives: Path, folder: Path) -> None:
    """Make the champion the default version again, which a runtime forgets; prints the result."""
    try:
        current = champion.current(archives)
        if current is None:
            return
        with closing(runtime.connect(folder)) as server:
            server.set_default(CLASSIFIER.model, current.entry)
    except ChampionError as error:
        print(f"warning: {error}")
    except ServerError as error:
        print(f"warning: the champion, {current and current.entry}, is not the default version ({error})")
    else:
        print(f"champion: {current.entry}, since {current.since[:10]}")
        if champion.is_retrained(archives, current.entry, current.weights_sha256):
            print("warning: it was trained anew since; score and promote it again: make compare promote ENTRY=...")
