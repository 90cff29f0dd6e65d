"""A trained classifier as a function of pixels, for scoring, the library and serving. Copied into archives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lesions.errors import UserError
from zoo.models.session import ModelError, Session

CHUNK = 8
"""Images that go through the network together. More are no faster on a CPU, and take more memory."""


class NoMapsError(UserError):
    """A network whose class activation maps are not its Grad-CAM, and which so explains nothing."""


class Predictor:
    """A classifier's `model.onnx`, run by onnxruntime on one thread; all that it needs is inside. Thread-safe.

    Images are uint8 [n, pixels, pixels, 3] (`lesions.images.center_square`), classes those of
    `lesions.labels.CLASSES`. An answer does not depend on the other images of a batch.
    """

    def __init__(self, model: bytes | Path, pixels: int, classes: int) -> None:
        """Open `model`, a file or its content. Raises `ModelError` where it is damaged, or of another network."""
        self.pixels = pixels
        self._session = Session(model, {"pixels": ("uint8", (None, pixels, pixels, 3))})
        shapes = self._session.outputs
        if shapes.get("probabilities") != (None, classes) or "features" not in shapes:
            raise ModelError(f"the model of another network: its outputs are {shapes}")
        self.explains = "maps" in shapes
        """Whether it has class activation maps."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any], model: bytes | Path) -> Self:
        """The predictor of an archive's `entry.json` and its `model.onnx`. Raises `ModelError`."""
        try:
            return cls(model, entry["pixels"], len(entry["classes"]))
        except KeyError as error:
            raise ModelError(f"entry.json has no {error}") from None

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Calibrated probabilities, [n, 7]; rows add up to 1."""
        return self._run("probabilities", images)

    def probabilities_and_features(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both, of one run of the network."""
        probabilities, features = self._run_all(["probabilities", "features"], images)
        return probabilities, features

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the classification layer sees, [n, d]."""
        return self._run("features", images)

    def maps(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grad-CAM of each class before it is normalized, [n, 7, height, width], 0 or more.

        A network that ends in mean pooling and a linear layer has it in closed form: the class activation maps of Zhou
        et al. (CVPR 2016), without what is negative (Selvaraju et al., ICCV 2017). Raises `NoMapsError`.
        """
        if not self.explains:
            raise NoMapsError("this version's network has no class activation maps that equal Grad-CAM")
        return self._run("maps", images)

    def heat_maps(self, images: NDArray[np.uint8], labels: Sequence[int]) -> NDArray[np.float32]:
        """Grad-CAM of each image for its class number in `labels`, [n, height, width], 0 to 1.

        The largest is 1 in each image, or all are 0 where nothing speaks for the class. Raises `NoMapsError`.
        """
        heat = self.maps(images)[np.arange(len(images)), list(labels)]
        largest = heat.max((1, 2), keepdims=True)
        return np.asarray(np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0))

    def _run(self, output: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._run_all([output], images)[0]

    def _run_all(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        starts = range(0, max(1, len(images)), CHUNK)  # at least once: no images have a shape, too
        chunks = [self._session.run(outputs, {"pixels": images[start : start + CHUNK]}) for start in starts]
        return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
