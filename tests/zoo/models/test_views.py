"""Eight views: the positions of a square, turned back; equal to the mean of eight predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesions.labels import CLASSES
from tests.zoo.models.test_export import MEAN, PIXELS, STD, trained
from zoo.models.export import ClassifierGraph, export_classifier
from zoo.models.network import logits, normalize
from zoo.models.predictor import Predictor
from zoo.models.views import POSITIONS, EightViews, MeanOfViews, turn, views


@given(position=st.integers(0, POSITIONS - 1), side=st.integers(1, 6))
def test_a_position_is_turned_back(position: int, side: int) -> None:
    image = torch.arange(2 * side * side).reshape(1, 2, side, side)
    assert torch.equal(turn(turn(image, position), position, back=True), image)


def test_the_positions_are_eight_and_all_different() -> None:
    image = torch.arange(4.0).reshape(1, 1, 2, 2)
    seen = views(image)
    assert torch.equal(seen[0], image[0])
    assert len({tuple(position.flatten().tolist()) for position in seen}) == POSITIONS


def test_the_mean_of_maps_is_in_the_image_s_own_position() -> None:
    images = torch.randn(3, 5, 4, 4)
    assert torch.allclose(MeanOfViews()(views(images)), images)
    tokens = torch.randn(2 * POSITIONS, 6, 5)
    assert torch.allclose(MeanOfViews()(tokens), tokens.view(POSITIONS, 2, 6, 5).mean(0))


def test_maps_whose_channels_come_last_are_turned_back_too() -> None:
    images = torch.randn(3, 5, 4, 4)
    assert torch.allclose(MeanOfViews((1, 2))(views(images).permute(0, 2, 3, 1)), images.permute(0, 2, 3, 1))
    swin: Any = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=2, embed_dim=8, depths=(1, 1), num_heads=(1, 1)
    )
    wrapped = EightViews(swin.eval())
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits_of_all = wrapped(pictures)
        expected = swin(views(pictures)).view(POSITIONS, 2, -1).mean(0)
        turned = wrapped(turn(pictures, 5))
    assert logits_of_all.shape == (2, 1000)
    assert torch.allclose(logits_of_all, expected, atol=1e-5)
    assert torch.allclose(turned, logits_of_all, atol=1e-5)


@pytest.mark.slow
def test_predictions_are_the_mean_of_eight_and_do_not_change_with_the_position(tmp_path: Path) -> None:
    network = trained("test_efficientnet")
    images = np.random.default_rng(1).integers(0, 256, (4, PIXELS, PIXELS, 3), dtype=np.uint8)
    with torch.no_grad():
        seen = network(views(normalize(torch.from_numpy(images), MEAN, STD)))
    expected = seen.view(POSITIONS, 4, -1).mean(0).numpy()
    wrapped = EightViews(network)
    assert np.abs(logits(wrapped, images, MEAN, STD) - expected).max() < 1e-4
    graph = ClassifierGraph(wrapped, MEAN, STD, 1.0, PIXELS)
    predictor = Predictor(export_classifier(graph, "test_efficientnet", images, tmp_path), PIXELS, len(CLASSES))
    assert np.abs(predictor.probabilities(images) - torch.softmax(torch.from_numpy(expected), 1).numpy()).max() < 1e-5
    turned = np.ascontiguousarray(np.rot90(images, 1, (1, 2))[:, :, ::-1])
    assert np.abs(predictor.probabilities(turned) - predictor.probabilities(images)).max() < 1e-5
    assert predictor.explains, "its maps are Grad-CAM of the mean"
    back = np.rot90(predictor.maps(turned)[:, :, :, ::-1], -1, (2, 3))
    assert np.abs(back - predictor.maps(images)).max() < 1e-4
    [cached] = tmp_path.glob("*.onnx")
    assert "-8-views-" in cached.name
