"""Grad-CAM: it looks where the class is, at the right layer, and leaves no trace in the network. And overlays."""

import numpy as np
import pytest
import torch

from zoo.models.explanation import overlay
from zoo.models.grad_cam import grad_cam, last_feature_map
from zoo.models.network import build

CHANNELS = [0.5, 0.5, 0.5]


def quadrants() -> torch.nn.Module:
    """Class 0 is red, class 1 is blue: the mean of a channel of its own."""
    convolution = torch.nn.Conv2d(3, 2, 8, stride=8, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0] = convolution.weight[1, 2] = 1 / 64
    return torch.nn.Sequential(convolution, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def test_it_shows_where_the_class_is() -> None:
    network = quadrants()
    picture = np.zeros((2, 32, 32, 3), np.uint8)
    picture[:, :16, :16, 0] = 255  # red, above on the left
    picture[:, 16:, 16:, 2] = 255  # blue, below on the right
    layer = last_feature_map(network, 32)
    assert layer is network[0]  # type: ignore[index]
    red, blue = grad_cam(network, torch.from_numpy(picture), [0, 1], CHANNELS, CHANNELS)
    assert red.shape == (4, 4)
    assert (red[:2, :2] == red.max()).all()
    assert (blue[2:, 2:] == blue.max()).all()
    assert red.sum() == pytest.approx(4 * red.max())
    assert blue.sum() == pytest.approx(4 * blue.max())


def test_nothing_that_speaks_for_a_class_is_all_dark() -> None:
    network = quadrants()
    [heat] = grad_cam(network, torch.zeros(1, 32, 32, 3, dtype=torch.uint8), [0], CHANNELS, CHANNELS)
    assert (heat == 0).all()
    picture = np.full((50, 50, 3), 90, np.uint8)
    assert (np.asarray(overlay(picture, heat)) == 90).all()


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_resnet", "mobilenetv3_small_050"])
def test_real_networks_are_explained_and_stay_what_they_are(architecture: str) -> None:
    torch.manual_seed(0)
    network = build(architecture, 7)
    layer = last_feature_map(network, 64)
    if architecture.startswith("mobilenetv3"):
        assert layer is not network.conv_head  # a convolution behind the pooling
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    heats = grad_cam(network, images, [0, 4, 6], CHANNELS, CHANNELS)
    assert heats.shape[1] > 1
    assert heats.min() >= 0
    assert heats.max() > 0
    single = grad_cam(network, images[1:2], [4], CHANNELS, CHANNELS)
    assert heats[1] == pytest.approx(single[0], abs=1e-4)  # whatever else is in the batch
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_an_overlay_is_colored_where_it_is_hot() -> None:
    picture = np.full((60, 60, 3), 90, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    blended = overlay(picture, heat)
    assert (blended.mode, blended.size) == ("RGB", (60, 60))
    pixels = np.asarray(blended).astype(int)
    assert (pixels[40:, 40:] == 90).all()
    assert np.abs(pixels[5, 5] - 90).max() > 40
    assert blended == overlay(picture, heat)
