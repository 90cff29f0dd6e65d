"""The network behind Ray Serve: `python -m benchmarks.peers.ray_app PORT FOLDER`.

A request's body is the image file. Batches run in a thread beside the event loop, as Ray's guide to asyncio has it.
"""

import asyncio
import sys

import numpy as np
import ray
from ray import serve
from ray.serve._private import replica
from starlette.requests import Request

from benchmarks.peers.model import BATCH, DELAY, Model


@serve.deployment(num_replicas=1, max_ongoing_requests=100, logging_config={"enable_access_log": False})
class Classifier:
    """One replica."""

    def __init__(self) -> None:
        _stay_on_this_machine()
        self.served = Model.from_environment()

    async def __call__(self, request: Request) -> list[float]:
        """The answer to one request."""
        row: list[float] = await self.classify(await request.body())
        return row

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=DELAY)
    async def classify(self, contents: list[bytes]) -> list[list[float]]:
        """Probabilities of a batch, [n, classes]."""
        return await asyncio.to_thread(self._classify, contents)

    def _classify(self, contents: list[bytes]) -> list[list[float]]:
        rows: list[list[float]] = self.served.probabilities(
            np.stack([self.served.decode(each) for each in contents])
        ).tolist()
        return rows


def _stay_on_this_machine() -> None:
    """A replica's port for other deployments is open to all machines, and has no setting: open it to this one only."""
    own = vars(replica)
    add_port = own["add_port_to_grpc_server"]
    own["add_port_to_grpc_server"] = lambda server, address: add_port(server, address.replace("[::]", "127.0.0.1"))


def main(port: int, folder: str) -> None:
    """Serve on `port` of this machine until SIGTERM, with Ray's own files in `folder`."""
    ray.init(
        num_cpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Classifier.bind(), blocking=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
