"""Grad-CAM: where in a picture a network sees a class (Selvaraju et al., ICCV 2017). Copied into archives.

captum and matplotlib are imported when the first explanation is asked for: they take a second and some memory.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lesions.images import normalize

LARGEST = 512
"""The longest side of an overlay, in pixels; a smaller picture keeps its own size."""
OPACITY = 0.6
"""Of the colors, where the network looks most; elsewhere in proportion."""
COLORS = "turbo"
"""matplotlib's color map: red is most, green is half; blue hardly shows."""


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
    layer: torch.nn.Module,
    images: torch.Tensor,
    labels: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.float32]:
    """Grad-CAM: how much each place of a `layer`'s output speaks for a class, float32 [n, height, width], 0 to 1.

    `images` are uint8 [n, pixels, pixels, 3], `labels` the n class numbers. The largest is 1 in each image, or
    all are 0 where nothing speaks for the class. Weights and their gradients stay what they are; leaves eval mode on.
    Raises `ImportError` where captum is not installed.
    """
    from captum.attr import LayerGradCam

    network.eval()
    attributions = LayerGradCam(network, layer).attribute(
        normalize(images, mean, std), target=torch.tensor(labels), relu_attributions=True
    )
    heat: NDArray[np.float32] = attributions[:, 0].detach().numpy()
    largest = heat.max((1, 2), keepdims=True)
    return np.asarray(np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0))


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """`heat` [height, width], 0 to 1, as colors on a square `picture` [side, side, 3]: 8-bit RGB, of its size."""
    from matplotlib import colormaps

    smooth = np.asarray(Image.fromarray(heat).resize(picture.shape[1::-1], Image.Resampling.BILINEAR))
    colors = colormaps[COLORS](smooth)[..., :3] * 255
    strength = OPACITY * smooth[..., None]
    blended = picture * (1 - strength) + colors * strength
    return Image.fromarray(blended.round().astype(np.uint8))
