"""The runtime `ray`: what it needs, and its settings."""

import os
import socket
from collections.abc import Mapping, Set
from importlib.util import find_spec
from pathlib import Path

from zoo.serving.http import ServerError
from zoo.serving.ray.program import RayProgram
from zoo.serving.ray.settings import Settings, settings
from zoo.serving.rest.runtime import OneProcess
from zoo.serving.runtime import ServeRequest

INSTALL = ".venv/bin/python -m pip install 'ray[serve]>=2.60,<2.61'"


class Ray(OneProcess):
    """A process that hosts the app, and deployments of Ray Serve that answer (`zoo.serving.runtime.Runtime`)."""

    def __init__(self, chosen: Settings | None = None) -> None:
        self._own = RayProgram(chosen or Settings())
        super().__init__(self._own)

    @property
    def settings(self) -> Settings:
        """What was chosen, and the cluster that the environment names."""
        return self._own.settings

    def configured(self, **chosen: str) -> "Ray":
        """The same one with these settings: replicas, cpus, archives_url. Raises `UserError`."""
        return Ray(settings(**chosen))

    def check(self, request: ServeRequest, own: Set[int]) -> None:
        """Raise `ServerError` where Ray is not installed, or a port is taken; the ports `own` count as free."""
        if find_spec("ray") is None:
            raise ServerError(f"Ray is not installed here: {INSTALL}; or serve without it: make serve RUNTIME=local")
        if self.settings.address:
            check_cluster(self.settings.address)
        super().check(request, own)

    def start(self, archives: Path, versions: Mapping[str, tuple[str, str]], request: ServeRequest) -> dict[str, str]:
        """Serve these archives; returns why versions cannot be served, by name. Raises `ServerError`."""
        chosen, there = self.settings, os.cpu_count() or 1
        needed = len(versions) * chosen.least * chosen.cpus
        if not chosen.address and needed > there:
            raise ServerError(
                f"CPUS={chosen.cpus:g}: {len(versions)} versions with {chosen.least} replicas each need "
                f"{needed:g} processors, and there are {there}; say less, or 0: then they share them"
            )
        return super().start(archives, versions, request)


def check_cluster(address: str) -> None:
    """Raise `ServerError` where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ServerError(f"RAY_ADDRESS={address}: start the server on a machine of the cluster, and say host:port")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise ServerError(f"RAY_ADDRESS={address}: no cluster answers there ({error})") from None
