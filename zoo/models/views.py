"""A network that sees an image in the eight positions of a square: a dermatoscopic image has no upper side."""

import torch
from torch import nn

POSITIONS = 8
"""Four quarter turns, each as it is or flipped left to right."""


class EightViews(nn.Module):
    """A timm network whose feature map is the mean of those of an image's eight positions, each turned back.

    Where the network ends in mean pooling and a linear layer, as an EfficientNet does, its logits are so the means of
    the eight positions' logits, and its class activation maps the means of theirs, turned back. Where there is a norm
    between the two, as in a ConvNeXt, they are only nearly so. Images must be square.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"  # timm's name for it; a Swin's is so
        self.network, self.mean = network, MeanOfViews((1, 2) if channels_last else (2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, 3, side, side] to logits [n, classes]."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """The mean feature map [n, d, height, width], or whatever the network has instead of one."""
        features: torch.Tensor = self.network.forward_features(views(images))  # type: ignore[operator]
        output: torch.Tensor = self.mean(features)
        return output

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits [n, classes] of features; what the classification layer sees, with `pre_logits`."""
        output: torch.Tensor = self.network.forward_head(features, pre_logits=pre_logits)  # type: ignore[operator]
        return output

    def get_classifier(self) -> nn.Module:
        """The classification layer."""
        layer: nn.Module = self.network.get_classifier()  # type: ignore[operator]
        return layer

    @property
    def num_classes(self) -> int:
        """How many there are."""
        return int(self.network.num_classes)  # type: ignore[arg-type]


class MeanOfViews(nn.Module):
    """The mean of eight positions' maps, turned back; a layer, so that Grad-CAM can be taken of it.

    `sides` are the dimensions of a map's height and width.
    """

    def __init__(self, sides: tuple[int, int] = (2, 3)) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[8 n, d, height, width], or [8 n, height, width, d], to one of n; what is no map is not turned."""
        positions = features.view(POSITIONS, -1, *features.shape[1:])
        if features.ndim == 4:
            turned = [turn(positions[number], number, back=True, sides=self.sides) for number in range(POSITIONS)]
            positions = torch.stack(turned)
        mean: torch.Tensor = positions.mean(0)
        return mean


def views(images: torch.Tensor) -> torch.Tensor:
    """The eight positions of images [n, d, side, side], one after the other: [8 n, d, side, side]."""
    return torch.cat([turn(images, number) for number in range(POSITIONS)])


def turn(images: torch.Tensor, position: int, back: bool = False, sides: tuple[int, int] = (2, 3)) -> torch.Tensor:
    """Images [n, d, side, side] in one of the eight positions (0 is as they are), or `back` from it.

    `sides` are the dimensions that are turned.
    """
    quarters, flipped = position % 4, position >= 4
    if back:
        return torch.rot90(images.flip(sides[1]) if flipped else images, -quarters, sides)
    turned = torch.rot90(images, quarters, sides)
    return turned.flip(sides[1]) if flipped else turned
