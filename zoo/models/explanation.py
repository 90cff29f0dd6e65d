"""Grad-CAM: where in a picture a network sees a class (Selvaraju et al., ICCV 2017). Copied into archives.

captum and matplotlib are imported when the first explanation is asked for: they take a second and some memory.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

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


class ExplanationRequest(NamedTuple):
    """An explanation that was asked for."""

    picture: NDArray[np.uint8]
    """What it is laid on: [side, side, 3]."""
    label: str | None
    """The class to be explained; none means the one that is predicted."""


def last_feature_map(network: torch.nn.Module, pixels: int) -> torch.nn.Module:
    """The layer, last in the order of computing, whose output is still a map, of more than 1 x 1.

    That is the last convolution's, normalized and rectified: before that, what a channel says has no zero, and a sum
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
    """How much each place of a `layer`'s output speaks for a class: float32 [n, height, width], 0 to 1.

    `images` are uint8 [n, pixels, pixels, 3], `labels` the n class numbers. The largest is 1 in each image, or
    all are 0 where nothing speaks for the class. Weights and their gradients stay what they are; leaves eval mode on.
    Raises `ImportError` where captum is not installed.
    """
    from captum.attr import LayerGradCam

    network.eval()
    told = LayerGradCam(network, layer).attribute(
        normalize(images, mean, std), target=torch.tensor(labels), relu_attributions=True
    )
    found: NDArray[np.float32] = told[:, 0].detach().numpy()
    largest = found.max((1, 2), keepdims=True)
    return np.asarray(np.divide(found, largest, out=np.zeros_like(found), where=largest > 0))


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> bytes:
    """A PNG (8-bit RGB, of the size of `picture`) of `heat` [height, width], 0 to 1, laid on a square `picture`."""
    from matplotlib import colormaps

    smooth = np.asarray(Image.fromarray(heat).resize(picture.shape[1::-1], Image.Resampling.BILINEAR))
    colors = colormaps[COLORS](smooth)[..., :3] * 255
    strength = OPACITY * smooth[..., None]
    laid = picture * (1 - strength) + colors * strength
    content = io.BytesIO()
    Image.fromarray(laid.round().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
