"""The critic of the thesis's SAGAN: a projection discriminator of pixels."""

import torch
from torch import nn
from torch.nn import functional as F

from gan.critics.base import Critic
from gan.networks import Conv, SelfAttention, channel_plans, fused_kernel, initialize
from lesions.labels import CLASSES


class HalvingConv(Conv):
    """A convolution with a 3 x 3 kernel, then the mean of 2 x 2 cells."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, in, 2s, 2s] to [n, out, s, s]."""
        return F.conv2d(x, fused_kernel(self.weight) / 4, self.bias, stride=2, padding=1)


class DiscriminatorBlock(nn.Module):
    """ReLU, conv3, ReLU, conv3, halving; shortcut: conv1, halving. Without halving and with inputs = outputs: identity.

    The `first` block, whose inputs are images, begins without ReLU. The shortcut is of x. (In StudioGAN it is of
    ReLU(x), because the first ReLU works in place.)
    """

    def __init__(self, inputs: int, outputs: int, halves: bool, first: bool = False) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.conv1 = Conv(inputs, outputs, 3)
        self.conv2 = HalvingConv(outputs, outputs, 3) if halves else Conv(outputs, outputs, 3)
        self.shortcut = Conv(inputs, outputs, 1) if halves or inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, inputs, s, s] to [n, outputs, s / 2, s / 2], or s x s without halving."""
        h: torch.Tensor = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.halves:
            x = F.avg_pool2d(x, 2)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Discriminator(Critic):
    """A projection discriminator (Miyato & Koyama 2018): SAGAN's critic.

    Attention is after the first block, at half of the image's size. `pixels` and `width` as in `Generator`.
    """

    def __init__(self, pixels: int, width: int, classes: int = len(CLASSES), spectral_norm: bool = True) -> None:
        super().__init__()
        outputs = [times * width for times in channel_plans(pixels)[2]]
        halvings = 2 if pixels == 32 else len(outputs) - 1
        self.first = DiscriminatorBlock(3, outputs[0], halves=True, first=True)
        self.attention = SelfAttention(outputs[0])
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(outputs[k - 1], outputs[k], halves=k < halvings) for k in range(1, len(outputs))
        )
        self.score = nn.Linear(outputs[-1], 1)
        self.embedding = nn.Embedding(classes, outputs[-1])
        initialize(self, spectral_norm)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, pixels, pixels] in -1..1 to float32 [n, channels], 0 or more: sums over all positions."""
        h = self.attention(self.first(images))
        for block in self.blocks:
            h = block(h)
        return F.relu(h).sum((2, 3), dtype=torch.float32)

    def scores(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Features [n, channels] and classes int64 [n] to scores float32 [n]."""
        with torch.autocast(features.device.type, enabled=False):  # sums of thousands: bf16 keeps too few digits
            scores: torch.Tensor = self.score(features).squeeze(1) + (self.embedding(labels) * features).sum(1)
        return scores

    def class_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Features [n, channels] to logits float32 [n, classes]: their projection on each class (Han et al. 2021)."""
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features, self.embedding.weight)
