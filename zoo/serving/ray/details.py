"""What Ray Serve says of its replicas."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from ray import serve
from ray.serve.context import _get_global_client

FRESH = 0.5
"""Seconds for which an answer is taken to hold: management describes many versions at a time."""


class Details:
    """The state of all replicas, asked of Serve's controller. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._since = -FRESH
        self._asking = asyncio.Lock()

    async def replicas(self, application: str, deployment: str) -> list[dict[str, Any]]:
        """The replicas of a deployment, as workers in TorchServe's words."""
        async with self._asking:
            if time.monotonic() > self._since + FRESH:
                # Not with `client.get_serve_details`, which would keep the loop waiting.
                client: Any = _get_global_client()
                self._known = await client._controller.get_serve_instance_details.remote()
                self._since = time.monotonic()
        try:
            replicas = self._known["applications"][application]["deployments"][deployment]["replicas"]
        except KeyError:
            return []
        return [_worker(replica) for replica in replicas]


def _worker(replica: dict[str, Any]) -> dict[str, Any]:
    started = datetime.fromtimestamp(replica["start_time_s"], UTC).isoformat(timespec="milliseconds")
    state = str(getattr(replica["state"], "value", replica["state"]))
    return {
        "id": str(replica["replica_id"]),
        "startTime": started.replace("+00:00", "Z"),
        "status": "READY" if state == "RUNNING" else state,
        "pid": replica.get("pid"),
        "node": replica.get("node_ip"),
    }


def statuses() -> dict[str, tuple[str, str]]:
    """State and message of each of Serve's applications, with its deployments' messages."""
    applications = serve.status().applications
    return {
        name: (
            one.status.value,
            "\n".join([one.message, *(deployment.message for deployment in one.deployments.values())]),
        )
        for name, one in applications.items()
    }
