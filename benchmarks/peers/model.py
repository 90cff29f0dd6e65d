"""What every peer serves: a timm network that a small JSON file describes, on one thread.

Runs in a peer's own environment too, so it imports nothing of ours.
"""

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

BATCH = 8
"""The most images of a batch, as in our own archives."""
DELAY = 0.01
"""Seconds that a batch waits for more images, as in our own archives."""
SETTINGS = "PEER_SETTINGS"
"""The environment variable that names the JSON file of `Settings`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The network that is served."""

    architecture: str
    """timm's name."""
    weights: str
    """Path of a safetensors file."""
    pixels: int
    """Width and height of what the network sees."""
    mean: Sequence[float]
    """Of red, green and blue, on the scale 0 to 1."""
    std: Sequence[float]
    """Of red, green and blue, on the scale 0 to 1."""
    classes: int = 7

    def write(self, file: Path) -> Path:
        """Write them as JSON; returns `file`."""
        file.write_text(json.dumps(dataclasses.asdict(self), indent=2), encoding="utf-8")
        return file

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` has written."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))


class Model:
    """A network in memory; `torch.set_num_threads(1)` is part of it, as in our own workers."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(1)
        self.pixels = settings.pixels
        network: torch.nn.Module = timm.create_model(settings.architecture, num_classes=settings.classes)
        network.load_state_dict(load_file(settings.weights))
        self._network = network.to(memory_format=torch.channels_last).eval()
        self._mean = torch.tensor(settings.mean).view(1, 3, 1, 1)
        self._std = torch.tensor(settings.std).view(1, 3, 1, 1)

    @classmethod
    def from_environment(cls) -> Self:
        """The network that `run.start` has named to this process."""
        return cls(Settings.read(Path(os.environ[SETTINGS])))

    def decode(self, content: bytes) -> NDArray[np.uint8]:
        """The center square of an image file, uint8 [pixels, pixels, 3]."""
        return self.square(Image.open(io.BytesIO(content)))

    def square(self, image: Image.Image) -> NDArray[np.uint8]:
        """The center square of `image`, resized bilinearly, uint8 [pixels, pixels, 3]."""
        rgb, side = image.convert("RGB"), min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cropped = rgb.crop((left, top, left + side, top + side))
        return np.asarray(cropped.resize((self.pixels, self.pixels), Image.Resampling.BILINEAR))

    @torch.inference_mode()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The softmax, [n, classes], of uint8 `images` [n, pixels, pixels, 3]."""
        scaled = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
        rows: NDArray[np.float32] = self._network((scaled - self._mean) / self._std).softmax(1).numpy()
        return rows
