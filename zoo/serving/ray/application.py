"""Archives as one application for Ray Serve's config files: `import_path: zoo.serving.ray.application:build`.

`serve deploy` and KubeRay's RayService build it where the cluster is; its door is the gateway, on Serve's HTTP port.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from lesions.errors import UserError
from zoo.kinds import KINDS
from zoo.serving.connection import KEY_FILE
from zoo.serving.limits import limits
from zoo.serving.ray import deployment
from zoo.serving.ray.archives import Archive, fetch, listed
from zoo.serving.ray.details import Details
from zoo.serving.ray.settings import DOOR_CPUS, Settings
from zoo.serving.ray.worker import Replicas
from zoo.serving.rest.app import App
from zoo.serving.rest.tokens import Tokens
from zoo.serving.rest.versions import Version, Versions
from zoo.serving.runtime import LOOPBACK
from zoo.study import Folders, Study

FRONT = "gateway.local"
"""By its name: the zoo knows of nothing before it (`zoo.serving.runtime.Front`)."""
PORT = 8080
"""By which the front names the runtime's app, which it calls without a network."""
TOKEN = timedelta(minutes=60)
PREFIX, LOCK, SECONDS_TO_LOCK = "lesion-zoo-door-", ".alive", 60
"""Of the door's folder. One that is younger may not be locked yet."""
AT_ONCE = 1000
"""Requests inside the door at a time; the front bounds them more closely."""


def temporary_folder() -> tuple[tempfile.TemporaryDirectory[str], FileLock]:
    """A folder of this process's own, and the lock by which others see that it lives.

    It will have tokens and answers, so those that killed processes left are removed.
    """
    for other in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or locked
            if time.time() - other.stat().st_mtime > SECONDS_TO_LOCK:
                with FileLock(other / LOCK, timeout=0):
                    shutil.rmtree(other, ignore_errors=True)
    folder = tempfile.TemporaryDirectory(prefix=PREFIX)
    lock = FileLock(Path(folder.name) / LOCK)
    lock.acquire()
    return folder, lock


class Arguments(BaseModel):
    """`args` of the application in a config file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archives: str
    """A folder that every node sees, or an fsspec URL; `manifest.json` is beside the archives."""
    entries: list[str] | None = None
    """Which are served; all where it is null."""
    replicas: int | str = "1"
    """Of each version: a number, or least and most for autoscaling, as in 1-4."""
    cpus: float = 0
    """What a replica reserves."""
    gateway: dict[str, Any] | None = None
    """Settings of the gateway (`gateway.settings.Settings`) that are not to be the defaults: keys, origins, events."""


def build(args: Arguments) -> Any:
    """The `ray.serve.Application`: a deployment a version, and the door before them. Raises `UserError`."""
    settings = Settings(replicas=str(args.replicas), cpus=args.cpus, archives=args.archives)
    archives = listed(args.archives, args.entries)
    bound = {name: deployment.application(name, archive, settings) for name, archive in archives.items()}
    door: Any = serve.deployment(
        Door,
        name="gateway",
        max_ongoing_requests=AT_ONCE,
        ray_actor_options={"num_cpus": DOOR_CPUS},
        logging_config=deployment.LOGGING,
        **deployment.HEALTH,
    )
    return door.bind(bound, archives, settings, args.gateway or {})


@serve.ingress()
class Door:
    """The front, and the app that asks the versions' replicas."""

    def __init__(
        self,
        handles: Mapping[str, DeploymentHandle[Any]],
        archives: Mapping[str, Archive],
        settings: Settings,
        options: Mapping[str, Any],
    ) -> None:
        """`handles` ask each version; `options` are settings of the front."""
        self._handles, self._archives, self._settings, self._options = handles, archives, settings, options

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Serve when the replica starts. Raises `UserError` where a version cannot be served."""
        self._temporary, self._alive = temporary_folder()
        try:
            return await self._front(Path(self._temporary.name) / "serve")  # events and experiments are beside it
        except BaseException:
            self._temporary.cleanup()
            raise

    def __del__(self) -> None:
        """Called by Serve after the front's shutdown, or after a start that failed."""
        if hasattr(self, "_temporary"):
            self._temporary.cleanup()

    async def _front(self, folder: Path) -> ASGIApp:
        folder.mkdir()
        most = self._options.get("max_request_bytes", limits().max_request_bytes)
        details, versions = Details(), []
        for name, handle in self._handles.items():
            entry, problem = await handle.describe.remote()
            if problem:
                raise UserError(f"{name}: {problem}")
            model, at_once = KINDS[entry["kind"]].model, deployment.at_once(self._settings)
            versions.append(Version(model, name, self._archives[name].file, Replicas(entry, handle, at_once, details)))
        app = App(Versions(versions), Tokens(folder / KEY_FILE, TOKEN), PORT, most)
        defaults = {
            "host": LOOPBACK,
            "port": 8000,
            "runtime_port": PORT,
            "folder": str(folder),
            "archives": str(await asyncio.to_thread(self._cards, folder / "archives")),
            "keys": str(Folders(Study().name).root / "keys" / "api_keys.json"),
            "max_request_bytes": most,
        }
        try:
            front: ASGIApp = import_module(FRONT).app(app, folder, defaults | dict(self._options))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(f"gateway: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return front

    def _cards(self, folder: Path) -> Path:
        """A folder of the archives under their names, for their model cards."""
        folder.mkdir()
        for archive in self._archives.values():
            (folder / archive.file).symlink_to(fetch(archive))
        return folder
