"""Turn a trained network into `model.onnx`, checked against torch and captum."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from lesions.labels import CLASSES
from zoo.models.grad_cam import grad_cam
from zoo.models.network import build, logits
from zoo.models.onnx_graph import ExportError, serialize, to_onnx
from zoo.models.predictor import Predictor
from zoo.models.sampler import CHUNK, Sampler, latent
from zoo.models.views import POSITIONS, EightViews

TOLERANCE = 1e-4
"""The most by which probabilities may differ from torch's."""
MAP_TOLERANCE = 1e-3
"""The most by which class activation maps may differ from Grad-CAM, as a part of a map's largest value."""
EXPLAINED = 8
"""Images whose maps are compared, for each class."""


class ClassifierGraph(nn.Module):
    """What a classifier's `model.onnx` computes: uint8 pixels to probabilities, features and, if it can, maps."""

    channel_mean: torch.Tensor
    channel_std: torch.Tensor
    softmax_temperature: torch.Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], temperature: float, pixels: int
    ) -> None:
        super().__init__()
        self.network, self.pixels = network.eval(), pixels
        self.register_buffer("channel_mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("channel_std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("softmax_temperature", torch.tensor(temperature, dtype=torch.float32))
        self.outputs = ["probabilities", "features"]
        with torch.inference_mode():
            features = network.forward_features(torch.zeros(1, 3, pixels, pixels))  # type: ignore[operator]
        head = network.get_classifier()  # type: ignore[operator]
        if isinstance(head, nn.Linear) and features.ndim == 4 and features.shape[1] == head.in_features:
            self.outputs.append("maps")

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uint8 [n, side, side, 3] to `outputs`: [n, 7], [n, d] and [n, 7, height, width]."""
        scaled = (pixels.permute(0, 3, 1, 2).float() / 255 - self.channel_mean) / self.channel_std
        maps: torch.Tensor = self.network.forward_features(scaled)  # type: ignore[operator]
        features: torch.Tensor = self.network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        values: torch.Tensor = self.network.forward_head(maps)  # type: ignore[operator]
        answers = (torch.softmax(values / self.softmax_temperature, dim=1), features)
        if "maps" not in self.outputs:
            return answers
        weights = self.network.get_classifier().weight  # type: ignore[operator]
        height, width = maps.shape[2:]
        return *answers, torch.relu(torch.einsum("kc,nchw->nkhw", weights, maps)) / (height * width)


def with_views(network: nn.Module, views: int) -> nn.Module:
    """`network`, or with 8 `views` one that sees an image in the eight positions of a square."""
    return network if views == 1 else EightViews(network)


def check_exportable(architecture: str, pixels: int, views: int, cache: Path) -> None:
    """Raise `ExportError` where the network takes no such images, or torch cannot export it.

    torch's generator keeps its state.
    """
    with torch.random.fork_rng(devices=[]):
        network = with_views(build(architecture), views)
        try:
            graph = ClassifierGraph(network, [0.5] * 3, [0.5] * 3, 1, pixels)
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise ExportError(f"{architecture} takes no images of {pixels} pixels a side ({error})") from None
        _classifier_to_onnx(graph, architecture, cache)


def export_classifier(graph: ClassifierGraph, architecture: str, images: NDArray[np.uint8], cache: Path) -> bytes:
    """The content of `model.onnx`. It is compared with torch on `images`, uint8 [n, pixels, pixels, 3], of validation.

    Maps are left out where they are not the network's Grad-CAM. Raises `ExportError` where torch cannot export the
    network, or the export answers otherwise.
    """
    model = _classifier_to_onnx(graph, architecture, cache)
    content = serialize(model)
    mean, std = graph.channel_mean.flatten().tolist(), graph.channel_std.flatten().tolist()
    predictor = Predictor(content, graph.pixels, graph.network.num_classes)  # type: ignore[arg-type]
    if (difference := _difference(predictor, graph, images, mean, std)) > TOLERANCE:
        raise ExportError(f"{architecture}: as ONNX, its probabilities differ from torch's by {difference:.2g}")
    if predictor.explains and not _maps_are_grad_cam(predictor, graph.network, images[:EXPLAINED], mean, std):
        [index] = [number for number, output in enumerate(model.graph.output) if output.name == "maps"]
        del model.graph.output[index]
        content = serialize(model)
    return content


def _classifier_to_onnx(graph: ClassifierGraph, architecture: str, cache: Path) -> onnx.ModelProto:
    pixels = graph.pixels
    example = {"pixels": torch.zeros(2, pixels, pixels, 3, dtype=torch.uint8)}
    views = f"-{POSITIONS}-views" if isinstance(graph.network, EightViews) else ""
    return to_onnx(graph, example, graph.outputs, f"{architecture}-{pixels}{views}", cache)


def _difference(
    predictor: Predictor,
    graph: ClassifierGraph,
    images: NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
) -> float:
    """The most by which probabilities differ from torch's; 0 where torch's own rounding explains what there is.

    A network that learned next to nothing may have logits of many hundreds, which float32 holds to three decimals. So
    what differs by more than `TOLERANCE` is held against torch in float64: it must not be farther from it than torch in
    float32 is.
    """

    def by_torch(network: nn.Module, of: NDArray[np.uint8]) -> NDArray[np.floating]:
        values = torch.from_numpy(logits(network, of, mean, std)) / graph.softmax_temperature
        return np.asarray(torch.softmax(values, dim=1))

    predicted, expected = predictor.probabilities(images), by_torch(graph.network, images)
    differences = np.abs(predicted - expected).max(1)
    if (off := ~(differences <= TOLERANCE)).any():
        exact = by_torch(copy.deepcopy(graph.network).double(), images[off])
        own = np.abs(expected[off] - exact).max(1)
        differences[off] = np.where(np.abs(predicted[off] - exact).max(1) <= own, 0, differences[off])
    return float(np.nan_to_num(differences, nan=np.inf).max(initial=0))


def _maps_are_grad_cam(
    predictor: Predictor, network: nn.Module, images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]
) -> bool:
    maps = predictor.maps(images)
    labels = range(maps.shape[1])
    expected = [grad_cam(network, torch.from_numpy(images), [label] * len(images), mean, std) for label in labels]
    if any(of_class.shape != maps[:, 0].shape for of_class in expected):
        return False
    # A map is a sum whose terms may cancel: float32 rounds them at the size of an image's largest map, not of this one.
    largest = np.max(expected, axis=(0, 2, 3)).clip(1e-12)[:, None, None, None]
    return bool((np.abs(maps - np.stack(expected, axis=1)) <= MAP_TOLERANCE * largest).all())


def export_generator(graph: nn.Module, pixels: int, width: int, cache: Path) -> bytes:
    """The content of `model.onnx` of a generator: `latents` and `labels` in, uint8 `images` [n, pixels, pixels, 3] out.

    Of what it draws, some images of each class are compared with torch's. Raises `ExportError` where torch cannot
    export the network, or a pixel differs by more than 1.
    """
    labels = torch.arange(len(CLASSES))
    inputs = {"latents": torch.from_numpy(latent(0, 0, len(labels))), "labels": labels}
    model = to_onnx(graph, inputs, ["images"], f"generator-{pixels}-{width}", cache)
    content = serialize(model)
    sampler = Sampler(content, pixels)
    for label in range(len(labels)):
        drawn = sampler.draw(label, CHUNK, 0)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(latent(0, 0, CHUNK)), torch.full((CHUNK,), label)).numpy()
        difference = np.abs(drawn.astype(int) - expected).max()
        if difference > 1:
            raise ExportError(f"a generator of {pixels} px: as ONNX, its pixels differ from torch's by {difference}")
    return content
