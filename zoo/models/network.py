"""The classifier's network: built by timm, its weights read from safetensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from lesions.labels import CLASSES
from zoo.models.weights import WeightsError

CHUNK = 64
"""Images that go through the network together."""


def build(architecture: str, classes: int = len(CLASSES), drop: float = 0.0) -> torch.nn.Module:
    """A timm network with random weights (drawn from torch's global generator), channels last.

    `classes` outputs; 0 gives the pooled features. `drop` is the share of features that dropout leaves out in training
    before the classification layer. Raises `WeightsError` where timm knows no such network.
    """
    options: dict[str, Any] = {"drop_rate": drop} if drop else {}  # else timm's default, which may be another one
    try:
        network: torch.nn.Module = timm.create_model(architecture, pretrained=False, num_classes=classes, **options)
    except RuntimeError as error:
        raise WeightsError(f"timm has no network {architecture!r} ({error})") from None
    return network.to(memory_format=torch.channels_last)


def load(network: torch.nn.Module, weights: Path, without_classifier: bool = False) -> None:
    """Read the file `weights` (safetensors) into `network`, every tensor of it.

    With `without_classifier` the classification layer's tensors may be missing, and are not read. Raises
    `WeightsError` where the file cannot be read, or names, shapes or counts of the tensors differ.
    """
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{weights}: not a readable safetensors file ({error})") from None
    expected = dict(network.state_dict())
    if without_classifier:
        head = classifier_prefixes(network)
        expected = {name: tensor for name, tensor in expected.items() if not name.startswith(head)}
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(head)}
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    reshaped = sorted(name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape)
    if missing or unknown or reshaped:
        differences = [
            f"{len(names)} {what} ({names[0]}, ...)"
            for names, what in ((missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape"))
            if names
        ]
        raise WeightsError(
            f"{weights}: the weights of another network: of its {len(tensors)} tensors {', '.join(differences)}"
        )
    network.load_state_dict(tensors, strict=False)


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Scale uint8 [n, height, width, 3] to 0..1, subtract `mean` and divide by `std`, by channel.

    Returns float32 [n, 3, height, width], channels last in memory.
    """
    scaled = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
    shape = (1, 3, 1, 1)
    return (scaled - scaled.new_tensor(mean).view(shape)) / scaled.new_tensor(std).view(shape)


@torch.inference_mode()
def logits(
    network: torch.nn.Module, images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.floating]:
    """The output of `network` before the softmax, [n, 7], for uint8 `images` [n, pixels, pixels, 3].

    `mean` and `std` are of red, green and blue, on the scale 0 to 1. Computed in the type of the network's weights.
    Leaves eval mode on.
    """
    network.eval()
    dtype = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    starts = range(0, max(1, len(images)), CHUNK)
    chunks = (torch.from_numpy(images[start : start + CHUNK]) for start in starts)
    outputs: NDArray[np.floating] = torch.cat(
        [network(normalize(chunk, mean, std).to(dtype)) for chunk in chunks]
    ).numpy()
    return outputs


def classifier_prefixes(network: torch.nn.Module) -> tuple[str, ...]:
    """The prefixes of the classifier's tensors: `classifier.` or `fc.`, as timm calls it for this network.

    Some networks have two.
    """
    names: str | Sequence[str] = network.default_cfg["classifier"]  # type: ignore[index,assignment]
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


Statistics = tuple[list[float], list[float]]
"""Mean and standard deviation of red, green and blue, on the scale 0 to 1."""


def pretrained_statistics(network: torch.nn.Module) -> Statistics:
    """The channel statistics that a network's pretrained weights were trained with, as timm has them."""
    configuration = network.default_cfg
    return list(configuration["mean"]), list(configuration["std"])  # type: ignore[index]
