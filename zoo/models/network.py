"""The classifier's network: built by timm, its weights read from safetensors. Copied into archives."""

import json
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file

from lesions.labels import CLASSES
from zoo.models.weights import WeightsError


def build(architecture: str, classes: int = len(CLASSES)) -> torch.nn.Module:
    """A timm network with random weights (drawn from torch's global generator), channels last.

    `classes` outputs; 0 gives the pooled features. Raises `WeightsError` where timm knows no such network.
    """
    try:
        network: torch.nn.Module = timm.create_model(architecture, pretrained=False, num_classes=classes)
    except RuntimeError as error:
        raise WeightsError(f"timm has no network {architecture!r} ({error})") from None
    return network.to(memory_format=torch.channels_last)


def load(network: torch.nn.Module, weights: Path | bytes, without_classifier: bool = False) -> None:
    """Read `weights` (safetensors: a file, or its content) into `network`, every tensor of it.

    With `without_classifier` the classification layer's tensors may be missing, and are not read. Raises
    `WeightsError` where the file cannot be read, or names, shapes or counts of the tensors differ.
    """
    place = weights if isinstance(weights, Path) else "the archive's weights"
    try:
        tensors = load_file(weights) if isinstance(weights, Path) else load_bytes(weights)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{place}: not a readable safetensors file ({error})") from None
    expected = dict(network.state_dict())
    if without_classifier:
        head = classifier_name(network)
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
            f"{place}: the weights of another network: of its {len(tensors)} tensors {', '.join(differences)}"
        )
    network.load_state_dict(tensors, strict=False)


def classifier_name(network: torch.nn.Module) -> str:
    """The prefix of the classifier's tensors, `classifier.` or `fc.` or whatever timm calls it for this network."""
    return f"{network.default_cfg['classifier']}."  # type: ignore[index]


Statistics = tuple[list[float], list[float]]
"""Mean and standard deviation of red, green and blue, on the scale 0 to 1."""


def pretrained_statistics(network: torch.nn.Module, weights: Path | None = None) -> Statistics:
    """The channel statistics that pretrained `weights` were trained with: by the file's metadata, else by timm."""
    if weights is not None:
        with safe_open(weights, "pt") as opened:
            statistics = (opened.metadata() or {}).get("statistics")
        if statistics is not None:
            mean, std = json.loads(statistics)
            return mean, std
    configuration = network.default_cfg
    return list(configuration["mean"]), list(configuration["std"])  # type: ignore[index]
