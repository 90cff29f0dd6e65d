"""The classifier network: built by timm, loaded from safetensors, and asked for probabilities. Copied into archives."""

import json
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from lesions.errors import UserError
from lesions.images import normalize
from lesions.labels import CLASSES


class WeightsError(UserError):
    """A weights file that does not fit the network."""


def build(architecture: str, classes: int = len(CLASSES)) -> torch.nn.Module:
    """A timm network with random weights (drawn from torch's global generator), channels last.

    `classes` outputs; 0 gives the pooled features. Raises `WeightsError` where timm knows no such network.
    """
    try:
        network: torch.nn.Module = timm.create_model(architecture, pretrained=False, num_classes=classes)
    except RuntimeError as error:
        raise WeightsError(f"timm has no network {architecture!r} ({error})") from None
    return network.to(memory_format=torch.channels_last)


def load(network: torch.nn.Module, weights: Path, without_classifier: bool = False) -> None:
    """Read `weights` (safetensors) into `network`, every tensor of it.

    With `without_classifier` the file may lack the classifier's tensors, and those it has are not read. Raises
    `WeightsError` where the file cannot be read, or names, shapes or counts of the tensors differ.
    """
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{weights}: not a readable safetensors file ({error})") from None
    wanted = dict(network.state_dict())
    if without_classifier:
        head = classifier_name(network)
        wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith(head)}
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(head)}
    missing = sorted(wanted.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - wanted.keys())
    reshaped = sorted(name for name in wanted.keys() & tensors.keys() if wanted[name].shape != tensors[name].shape)
    if missing or unknown or reshaped:
        found = [
            f"{len(names)} {what} ({names[0]}, ...)"
            for names, what in ((missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape"))
            if names
        ]
        raise WeightsError(
            f"{weights}: the weights of another network: of its {len(tensors)} tensors {', '.join(found)}"
        )
    network.load_state_dict(tensors, strict=False)


def classifier_name(network: torch.nn.Module) -> str:
    """The prefix of the classifier's tensors, `classifier.` or `fc.` or whatever timm calls it for this network."""
    return f"{network.default_cfg['classifier']}."  # type: ignore[index]


Statistics = tuple[list[float], list[float]]
"""Mean and std of each channel, on the scale 0 to 1."""


def pretrained_statistics(network: torch.nn.Module, weights: Path | None = None) -> Statistics:
    """The channel statistics that pretrained `weights` were trained with: what the file says, else what timm says."""
    if weights is not None:
        with safe_open(weights, "pt") as opened:
            said = (opened.metadata() or {}).get("statistics")
        if said is not None:
            mean, std = json.loads(said)
            return mean, std
    configuration = network.default_cfg
    return list(configuration["mean"]), list(configuration["std"])  # type: ignore[index]


@torch.inference_mode()
def logits(network: torch.nn.Module, images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """What a network says before the softmax, float32 [n, classes]; else as `probabilities`."""
    network.eval()
    said: torch.Tensor = network(normalize(images, mean, std)).float()
    return said


def temperature_softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probabilities [n, classes] of `logits` divided by a `temperature` (above 0; at 1, the network's own).

    Which class is the likeliest is the same at each temperature.
    """
    return torch.softmax(logits / temperature, dim=1)


def probabilities(
    network: torch.nn.Module,
    images: torch.Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    temperature: float = 1.0,
) -> torch.Tensor:
    """Class probabilities, float32 [n, classes], of uint8 `images` [n, pixels, pixels, 3]; leaves eval mode on."""
    return temperature_softmax(logits(network, images, mean, std), temperature)
