"""Small networks on disk, for tests in many rooms."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from gan.drawing import GeneratorGraph
from gan.networks import Generator
from zoo.models.export import ClassifierGraph, export_classifier, export_generator
from zoo.models.network import build, logits
from zoo.study import Folders

GRAPHS = Path(tempfile.mkdtemp(prefix="lesion-zoo-graphs-"))
"""The cache of exported graphs that all tests share: exporting takes seconds, and a graph has no weights in it."""
atexit.register(shutil.rmtree, GRAPHS, ignore_errors=True)


def share_graphs(folders: Folders) -> None:
    """Let a study use the cache of all tests."""
    folders.graphs.parent.mkdir(parents=True, exist_ok=True)
    folders.graphs.symlink_to(GRAPHS)


def save_network(network: torch.nn.Module | str, file: Path) -> Path:
    """Save a network's weights as safetensors, or random weights of a timm architecture; returns `file`.

    Random weights are drawn from torch's global generator.
    """
    module = build(network) if isinstance(network, str) else network
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, file)
    return file


def save_model(
    network: torch.nn.Module,
    file: Path,
    pixels: int,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
    temperature: float = 1.0,
    architecture: str = "test_efficientnet",
) -> Path:
    """Save a classifier as `model.onnx`; returns `file`."""
    graph = ClassifierGraph(network, mean, std, temperature, pixels)
    images = np.random.default_rng(0).integers(0, 256, (8, pixels, pixels, 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(export_classifier(graph, architecture, images, GRAPHS))
    return file


def save_generator(generator: Generator, width: int, file: Path) -> Path:
    """Save a generator (without spectral norm) as `model.onnx`; returns `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(export_generator(GeneratorGraph(generator), generator.pixels, width, GRAPHS))
    return file


def probabilities(
    network: torch.nn.Module,
    images: NDArray[np.uint8],
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """What torch makes of `images`, [n, 7]: by another way than that of what is served."""
    values = torch.from_numpy(logits(network, images, mean, std))
    result: NDArray[np.float32] = torch.softmax(values / temperature, dim=1).numpy()
    return result


def digest(file: Path) -> str:
    """The sha256 (hex) of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
