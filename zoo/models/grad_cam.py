"""Grad-CAM by captum (Selvaraju et al., ICCV 2017): what an exported model's class activation maps must equal."""

from collections.abc import Sequence

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray

from zoo.models.network import normalize


def last_feature_map(network: torch.nn.Module, pixels: int) -> torch.nn.Module:
    """The last layer, in the order of computing, whose output is a map of more than 1 x 1.

    That is the last convolution after its normalization and activation; before them a channel has no zero, and a sum
    over channels has no meaning. At 64 pixels an EfficientNet's last map is 2 x 2, at 224 it is 7 x 7: explanations of
    small pictures are coarse. Leaves eval mode on.
    """
    maps: list[torch.nn.Module] = []

    def note(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        if output.ndim == 4 and output.shape[-2:].numel() > 1:
            maps.append(layer)

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if not list(layer.children())]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, pixels, pixels))
    finally:
        for hook in hooks:
            hook.remove()
    return maps[-1]


def grad_cam(
    network: torch.nn.Module,
    images: torch.Tensor,
    labels: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.float32]:
    """How much each place of the last feature map speaks for a class: float32 [n, height, width], 0 or more.

    `images` are uint8 [n, pixels, pixels, 3], `labels` the n class numbers. Weights and their gradients stay what they
    are; leaves eval mode on.
    """
    layer = last_feature_map(network, images.shape[1])
    attributions = LayerGradCam(network.eval(), layer).attribute(
        normalize(images, mean, std), target=torch.tensor(labels), relu_attributions=True
    )
    maps: NDArray[np.float32] = attributions[:, 0].detach().numpy()
    return maps
