"""Small networks on disk, for tests in many rooms."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from zoo.models.network import build


def save_network(network: torch.nn.Module | str, file: Path) -> Path:
    """Save a network's weights as safetensors, or random weights of a timm architecture; returns `file`.

    Random weights are drawn from torch's global generator.
    """
    module = build(network) if isinstance(network, str) else network
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, file)
    return file
