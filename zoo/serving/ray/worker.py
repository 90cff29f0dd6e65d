"""A version's replicas, asked through Ray's handle; asked again where one dies."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from zoo.serving.ray.details import Details
from zoo.serving.rest.worker import MOST_WAITING, Busy, Sent, Unavailable

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.6)
"""Seconds before each further try; an answer depends on the request alone, so asking twice is harmless."""


class Replicas:
    """The replicas of one version (`zoo.serving.rest.worker.Worker`)."""

    def __init__(self, entry: dict[str, Any], handle: Any, at_once: int, details: Details) -> None:
        """`handle` is Ray's; `at_once` is how many requests the replicas have at a time, at most."""
        self.entry, self._handle, self._at_once, self._details = entry, handle, at_once, details
        self._asked = 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return max(0, self._asked - self._at_once)

    async def processes(self) -> list[dict[str, Any]]:
        """The replicas, on any node."""
        return await self._details.replicas(self._handle.app_name, self._handle.deployment_name)

    async def answer(self, content: bytes, headers: Mapping[str, str], explain: bool, unseen: bool = False) -> Sent:
        """The answer to a body, `unseen` or not: each version has replicas of its own. Raises `Busy`, `Unavailable`."""
        if self.waiting >= MOST_WAITING:
            raise Busy
        self._asked += 1
        try:
            for pause in (0, *PAUSES):
                await asyncio.sleep(pause)
                try:
                    return await self._ask(content, headers, explain)
                except RayTaskError:  # the replica lives, and its code failed
                    raise
                except (RayError, RayServeException) as error:
                    reason = type(error).__name__
            raise Unavailable(f"its replicas are gone: {reason}")
        finally:
            self._asked -= 1

    async def _ask(self, content: bytes, headers: Mapping[str, str], explain: bool) -> Sent:
        response = self._handle.answer.remote(content, dict(headers), explain)
        try:
            return Sent(*await response)
        except asyncio.CancelledError:
            asyncio.get_running_loop().run_in_executor(None, response.cancel)  # it waits for Ray's own thread
            raise
