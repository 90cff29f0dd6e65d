"""The network behind LitServe: `python -m benchmarks.peers.litserve_app PORT`.

A request is a form with the file `request`: LitServe reads forms and JSON, no other bodies (its issues 362 and 732).
"""

import signal
import sys

import litserve as ls
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from benchmarks.peers.model import BATCH, DELAY, Model


class Classifier(ls.LitAPI):  # type: ignore[misc]
    """Steps of an answer, in LitServe's order. `decode_request` runs in the worker; LitServe stacks what it returns."""

    def setup(self, device: str) -> None:
        """Load the network into the worker."""
        self.served = Model.from_environment()

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """The form's file as pixels. The type says that a request is read whole; what arrives here is its form."""
        return self.served.decode(request["request"].file.read())

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of a batch, [n, classes]."""
        return self.served.probabilities(images)

    def encode_response(self, row: NDArray[np.float32]) -> dict[str, list[float]]:
        """One image's answer."""
        return {"probabilities": row.tolist()}


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=DELAY)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # LitServe tidies up at a KeyboardInterrupt only
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
