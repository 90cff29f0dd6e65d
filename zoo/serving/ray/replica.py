"""What a replica does, in a process of its own on some node: it fetches an archive, opens it, and answers."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from zoo.serving.ray.archives import Archive, FetchError, fetch
from zoo.serving.rest.worker import Sent, answer
from zoo.serving.service import Service
from zoo.serving.services import open_service, reason


class Replica:
    """One version in one process."""

    def __init__(self, archive: Archive, threads: int, loopback: bool) -> None:
        """Raises what may not happen on another node or later, so that Ray tries again: too little disk or memory, a
        missing package, and `FetchError`. A bad archive is bad everywhere.
        """
        if loopback:
            _stay_on_this_machine()
        self.service: Service | None = None
        self.problem = ""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        try:
            self.service = open_service(fetch(archive))
        except (FetchError, OSError, MemoryError, ImportError):
            raise
        except Exception as error:
            self.problem = reason(error)

    async def describe(self) -> tuple[dict[str, Any], str]:
        """The archive's `entry.json`, and why it cannot be served: one of the two is empty."""
        return ({}, self.problem) if self.service is None else (self.service.entry, "")

    async def answer(self, content: bytes, headers: Mapping[str, str], explain: bool) -> tuple[int, bytes, str, float]:
        """The fields of `Sent`. The loop stays free meanwhile, so that Ray can ask whether the replica lives."""
        assert self.service is not None
        work = partial(answer, self.service, content, headers, explain)
        sent: Sent = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return sent.status, sent.content, sent.media_type, sent.seconds


def _stay_on_this_machine() -> None:
    """A replica's port for other deployments is open to all machines, and has no setting: open it to this one only."""
    from ray.serve._private import replica

    add_port: Any = replica.__dict__["add_port_to_grpc_server"]
    replica.__dict__["add_port_to_grpc_server"] = lambda server, address: add_port(
        server, address.replace("[::]", "127.0.0.1")
    )
