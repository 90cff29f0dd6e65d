"""The network behind BentoML: `bentoml serve benchmarks.peers.bentoml_app:Classifier`.

A request is a form with the file `images`: an endpoint with batches takes a list, and a list of images comes in a form.
"""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.model import BATCH, Model


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    """One worker; batches are adaptive."""

    def __init__(self) -> None:
        self.served = Model.from_environment()

    @bentoml.api(batchable=True, max_batch_size=BATCH)  # type: ignore[untyped-decorator]
    def classify(self, images: list[Image]) -> list[list[float]]:
        """Probabilities of a batch, [n, classes].

        How long a batch waits is BentoML's own affair. Its `max_latency_ms` is no such wait: where an answer would take
        longer, it is status 503, so it stays at the default of a minute.
        """
        rows: list[list[float]] = self.served.probabilities(
            np.stack([self.served.square(each) for each in images])
        ).tolist()
        return rows
