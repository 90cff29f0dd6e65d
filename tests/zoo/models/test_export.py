"""The export: equal to torch and to captum's Grad-CAM, the same bytes, and nothing of the machine in them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from lesions.labels import CLASSES
from tests.networks import GRAPHS, probabilities
from zoo.models import export
from zoo.models.export import ClassifierGraph, check_exportable, export_classifier
from zoo.models.grad_cam import grad_cam
from zoo.models.network import build
from zoo.models.onnx_graph import OPSET, ExportError
from zoo.models.predictor import Predictor

MEAN, STD, PIXELS = [0.7, 0.5, 0.4], [0.2, 0.25, 0.3], 64


def trained(architecture: str) -> torch.nn.Module:
    """A network whose batch norms are no identities, and whose probabilities differ."""
    torch.manual_seed(0)
    network = build(architecture).train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(8, 3, PIXELS, PIXELS))
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network.eval()


def exported(network: torch.nn.Module, architecture: str, images: NDArray[np.uint8], cache: Path = GRAPHS) -> bytes:
    return export_classifier(ClassifierGraph(network, MEAN, STD, 1.5, PIXELS), architecture, images, cache)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (9, PIXELS, PIXELS, 3), dtype=np.uint8)


WITH_MAPS = ["test_efficientnet", "tf_efficientnet_lite0", "tf_efficientnet_b0", "mobilenetv2_100", "resnet18"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*WITH_MAPS, "convnext_atto", "mobilenetv3_small_050"])
def test_it_answers_as_torch_and_captum_do(architecture: str, images: NDArray[np.uint8]) -> None:
    network = trained(architecture)
    predictor = Predictor(exported(network, architecture, images), PIXELS, len(CLASSES))
    assert np.abs(predictor.probabilities(images) - probabilities(network, images, MEAN, STD, 1.5)).max() < 1e-5
    assert predictor.explains == (architecture in WITH_MAPS)
    if predictor.explains:
        for label in range(len(CLASSES)):
            expected = grad_cam(network, torch.from_numpy(images), [label] * len(images), MEAN, STD)
            assert predictor.maps(images)[:, label] == pytest.approx(expected, abs=1e-4 * float(expected.max()))


def test_the_same_network_gives_the_same_bytes_with_and_without_the_cache(
    images: NDArray[np.uint8], tmp_path: Path
) -> None:
    network = trained("test_efficientnet")
    first = exported(network, "test_efficientnet", images, tmp_path)
    assert exported(network, "test_efficientnet", images, tmp_path) == first
    [graph] = tmp_path.glob("*.onnx")
    assert graph.stat().st_size < len(first) / 2, "no weights in the cache"
    for damaged in (b"damaged", b""):
        graph.write_bytes(damaged)
        assert exported(network, "test_efficientnet", images, tmp_path) == first
    other = trained("test_efficientnet")
    with torch.no_grad():
        other.get_parameter("classifier.bias").add_(1)
    assert exported(other, "test_efficientnet", images, tmp_path) != first


def test_nothing_of_this_machine_is_in_it(images: NDArray[np.uint8]) -> None:
    model = exported(trained("test_efficientnet"), "test_efficientnet", images)
    bare = onnx.load_model_from_string(model)
    del bare.graph.initializer[:]  # random numbers may look like anything
    text = bare.SerializeToString()
    for mark in (rb"/[a-z]+/", rb"\.py", rb"File ", rb"stack_trace", rb"site-packages", rb"forward"):
        assert not re.search(mark, text), mark
    assert [(opset.domain, opset.version) for opset in bare.opset_import] == [("", OPSET)]


def test_any_number_of_images_at_once(images: NDArray[np.uint8]) -> None:
    model = onnx.load_model_from_string(exported(trained("test_efficientnet"), "test_efficientnet", images))
    [pixels] = model.graph.input
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [size.dim_value or None for size in pixels.type.tensor_type.shape.dim] == [None, PIXELS, PIXELS, 3]


class Unexportable(torch.nn.Module):
    """A network whose computation depends on its input's values."""

    num_classes = 7

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum().item() > 0 else -x

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return x.mean((2, 3))

    def get_classifier(self) -> torch.nn.Module:
        return torch.nn.Identity()


def test_a_network_that_torch_cannot_export_is_an_error_that_names_it(
    images: NDArray[np.uint8], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="torch cannot export odd-64 to ONNX"):
        exported(Unexportable(), "odd", images, tmp_path)


def test_an_export_that_answers_otherwise_is_refused(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained("test_efficientnet")
    monkeypatch.setattr(export, "logits", lambda _, of, *rest: np.eye(9, 7, dtype=np.float32)[: len(of)] * 50)
    with pytest.raises(ExportError, match="its probabilities differ from torch's by"):
        exported(network, "test_efficientnet", images)


class Probabilities:
    """A predictor whose probabilities are given."""

    def __init__(self, values: NDArray[np.floating]) -> None:
        self._values = values

    def probabilities(self, _: NDArray[np.uint8]) -> NDArray[np.floating]:
        return self._values


@pytest.mark.parametrize(("share", "refused"), [(0.9, False), (-0.9, False), (2.0, True)])
def test_what_float32_cannot_tell_is_no_difference(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, share: float, refused: bool
) -> None:
    network = trained("test_efficientnet")
    exact = np.full((len(images), 7), 1 / 7)
    step = np.zeros_like(exact)
    step[:, 0], step[:, 1] = 0.01, -0.01  # by which float32 is off, a hundred times what is allowed

    def logits(of: torch.nn.Module, *_: object) -> NDArray[np.floating]:
        double = next(of.parameters()).dtype == torch.float64
        return np.asarray(np.log(exact if double else exact + step))

    monkeypatch.setattr(export, "logits", logits)
    graph = export.ClassifierGraph(network, MEAN, STD, 1.0, PIXELS)
    predictor: Any = Probabilities(exact + share * step)  # off from float64, as a share of what torch in float32 is
    difference = export._difference(predictor, graph, images, MEAN, STD)
    assert (difference > export.TOLERANCE) == refused


@pytest.mark.parametrize(
    ("architecture", "pixels", "why"),
    [("vit_tiny_patch16_224", 64, "224"), ("coat_tiny", 224, "'list' object has no attribute")],
)
def test_a_network_that_takes_no_such_images_is_an_error_that_names_it(
    architecture: str, pixels: int, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=rf"{architecture} takes no images of {pixels} pixels a side .*{why}"):
        check_exportable(architecture, pixels, 1, tmp_path)


def test_a_network_that_predicts_no_numbers_is_refused(images: NDArray[np.uint8]) -> None:
    network = trained("test_efficientnet")
    with torch.no_grad():
        network.get_parameter("classifier.bias").fill_(torch.nan)
    with pytest.raises(ExportError, match="differ from torch's by inf"):
        exported(network, "test_efficientnet", images)


class Maps:
    """A predictor whose maps are given."""

    def __init__(self, maps: NDArray[np.float32]) -> None:
        self._maps = maps

    def maps(self, _: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._maps


def test_a_map_whose_terms_cancel_may_be_rounded(images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's baseline could not explain: one class's map was nearly zero, and rounded as sums of ones are."""
    expected = np.random.default_rng(0).random((len(images), 7, 2, 2)).astype(np.float32)
    expected[:, 3] = 0
    monkeypatch.setattr(export, "grad_cam", lambda _, __, labels, *___: expected[:, labels[0]])

    def equal(maps: NDArray[np.float32]) -> bool:
        return export._maps_are_grad_cam(Maps(maps), torch.nn.Identity(), images, [0.5] * 3, [0.5] * 3)  # type: ignore[arg-type]

    assert equal(expected)
    rounded = expected.copy()
    rounded[0, 3] = 3e-5
    assert equal(rounded)
    rounded[0, 3] = 0.01
    assert not equal(rounded)
    assert not equal(expected[..., :1])
