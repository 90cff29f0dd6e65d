"""A trained classifier as a function of pixels, for scoring, the library and the handler. Copied into archives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lesions.images import normalize
from zoo.models.explanation import grad_cam, last_feature_map
from zoo.models.network import build, load

CHUNK = 64
"""Images that go through the network together, or up to twice as many."""


class Predictor:
    """A network with what belongs to it: channel statistics, and the temperature that calibrates it.

    Images are uint8 [n, pixels, pixels, 3] (`lesions.images.center_square`), classes those of
    `lesions.labels.CLASSES`. The network is left in eval mode.
    """

    def __init__(
        self, network: torch.nn.Module, mean: Sequence[float], std: Sequence[float], temperature: float = 1.0
    ) -> None:
        """`mean` and `std` are of red, green and blue, on the scale 0 to 1; `temperature` is above 0, 1 for none."""
        self.network, self.mean, self.std, self.temperature = network.eval(), mean, std, temperature
        self._map_layer: torch.nn.Module | None = None

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any], weights: Path | bytes) -> Self:
        """The predictor of an archive's `entry.json` and its weights (safetensors), as a file or its content.

        Raises `WeightsError` where the weights are those of another network.
        """
        network = build(entry["architecture"], len(entry["classes"]))
        load(network, weights)
        # An archive without `calibration` is of a version before there was any.
        temperature = float(entry.get("calibration", {}).get("temperature", 1))
        return cls(network, entry["mean"], entry["deviation"], temperature)

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output before temperature and softmax, [n, 7]."""
        chunks = np.array_split(images, max(1, len(images) // CHUNK))
        outputs = [self.network(normalize(torch.from_numpy(chunk), self.mean, self.std)).float() for chunk in chunks]
        return torch.cat(outputs).numpy()

    def soften(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities [n, 7] of logits [n, 7]: the softmax after a division by the temperature."""
        return torch.softmax(torch.from_numpy(logits) / self.temperature, dim=1).numpy()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Calibrated probabilities, [n, 7]; rows add up to 1."""
        return self.soften(self.logits(images))

    def heat_maps(self, images: NDArray[np.uint8], labels: Sequence[int]) -> NDArray[np.float32]:
        """Grad-CAM of each image for its class number in `labels`, [n, height, width], 0 to 1.

        Raises `ImportError` where captum is not installed.
        """
        if self._map_layer is None:
            self._map_layer = last_feature_map(self.network, images.shape[1])
        return grad_cam(self.network, self._map_layer, torch.from_numpy(images), labels, self.mean, self.std)
