"""The conditional SAGAN: generator and discriminator, as SAGAN.md has them. Copied into archives.

Zhang et al. 2019, "Self-Attention Generative Adversarial Networks"; the channel plans are those of StudioGAN's `resnet`
backbone. A convolution beside a doubling or halving of the size is computed as one strided convolution with a 4 x 4
kernel: the same function of the same 3 x 3 weights with 4 / 9 of the multiplications (Karras et al. 2018's "fused
scale"). A 1 x 1 convolution is computed on the smaller side, which changes nothing either.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from lesions.labels import CLASSES

BOTTOM = 4
"""The generator begins with maps of 4 x 4."""

MOST = 16
"""Channels never exceed 16 x width."""

Z = 128
"""Numbers in a latent vector."""


def _plans(pixels: int) -> tuple[list[int], list[int], list[int]]:
    """Channels in units of the width: into and out of each generator block, and out of each discriminator block.

    At 32 px StudioGAN keeps them constant; from 64 px on they double from the image inwards up to 16. (From 256 px on
    StudioGAN repeats 8 once; we do not.) Raises `ValueError` for sizes that are no power of two or below 32.
    """
    doublings = int(math.log2(pixels / BOTTOM)) if pixels > 0 else 0
    if doublings < 3 or BOTTOM * 2**doublings != pixels:
        raise ValueError(f"{pixels} pixels: a size is a power of two, 32 or more")
    if pixels == 32:
        return [4, 4, 4], [4, 4, 4], [2, 2, 2, 2]
    out = [min(MOST, 2**place) for place in range(doublings)]
    inwards = out[::-1]
    return [min(MOST, 2 * inwards[0]), *inwards[:-1]], inwards, [*out, min(MOST, 2 * out[-1])]


def _spread(weight: torch.Tensor) -> torch.Tensor:
    """The 4 x 4 kernels that add up 3 x 3 `weight` [out, in, 3, 3] at its four places in a 2 x 2 cell."""
    padded = F.pad(weight, (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class Conv(nn.Conv2d):
    """A convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, side: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, bias=bias)


class DoublingConv(Conv):
    """Nearest-neighbor doubling, then a 3 x 3 convolution: [n, in, s, s] to [n, out, 2s, 2s]."""

    kernel: torch.Tensor | None
    """What `fuse` computed once; none while the weights may change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)
        self.register_buffer("kernel", None, persistent=False)

    def spread(self) -> torch.Tensor:
        """The transposed convolution's kernels, [in, out, 4, 4]."""
        return _spread(self.weight.flip(2, 3)).transpose(0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, in, s, s] to [n, out, 2s, 2s]."""
        kernel = self.spread() if self.kernel is None else self.kernel
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class HalvingConv(Conv):
    """A 3 x 3 convolution, then the mean of 2 x 2 cells: [n, in, 2s, 2s] to [n, out, s, s]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, in, 2s, 2s] to [n, out, s, s]."""
        return F.conv2d(x, _spread(self.weight) / 4, self.bias, stride=2, padding=1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and shift depend on the class: BN(x) * (1 + gain[y]) + shift[y]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=1e-4, momentum=0.1, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[n, channels, s, s] and classes int64 [n] to [n, channels, s, s]."""
        gain, shift = (table(labels)[:, :, None, None].to(x.dtype) for table in (self.gain, self.shift))
        return torch.addcmul(shift, self.norm(x), 1 + gain)


class SelfAttention(nn.Module):
    """x + strength * attention over all places, with keys and values pooled 2 x 2; `strength` starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = Conv(channels, max(1, channels // 8), 1, bias=False)
        self.phi = Conv(channels, max(1, channels // 8), 1, bias=False)
        self.g = Conv(channels, max(1, channels // 2), 1, bias=False)
        self.out = Conv(max(1, channels // 2), channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, s, s] to the same."""
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1).to(value.dtype)
        attended = (value @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        added: torch.Tensor = self.out(attended)
        return x + self.strength.to(x.dtype) * added


class GeneratorBlock(nn.Module):
    """cBN, ReLU, doubling, conv3, cBN, ReLU, conv3; shortcut: doubling, conv1."""

    def __init__(self, inputs: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(inputs, classes)
        self.conv1 = DoublingConv(inputs, outputs)
        self.norm2 = ConditionalBatchNorm(outputs, classes)
        self.conv2 = Conv(outputs, outputs, 3)
        self.shortcut = Conv(inputs, outputs, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[n, inputs, s, s] and classes [n] to [n, outputs, 2s, 2s]."""
        h = self.conv1(F.relu(self.norm1(x, labels)))
        h = self.conv2(F.relu(self.norm2(h, labels)))
        doubled: torch.Tensor = F.interpolate(self.shortcut(x), scale_factor=2) + h
        return doubled


class FirstBlock(nn.Module):
    """The discriminator's first: conv3, ReLU, conv3, halving; shortcut: halving, conv1."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv(3, outputs, 3)
        self.conv2 = HalvingConv(outputs, outputs)
        self.shortcut = Conv(3, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, 3, 2s, 2s] to [n, outputs, s, s]."""
        h: torch.Tensor = self.conv2(F.relu(self.conv1(x))) + self.shortcut(F.avg_pool2d(x, 2))
        return h


class DiscriminatorBlock(nn.Module):
    """ReLU, conv3, ReLU, conv3, halving; shortcut: conv1, halving. Without halving and with inputs = outputs: identity.

    StudioGAN's in-place ReLU makes the shortcut of ReLU(x), an accident; here it is of x.
    """

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = Conv(inputs, outputs, 3)
        self.conv2 = HalvingConv(outputs, outputs) if halves else Conv(outputs, outputs, 3)
        self.shortcut = Conv(inputs, outputs, 1) if halves or inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, inputs, s, s] to [n, outputs, s / 2, s / 2], or s x s without halving."""
        h: torch.Tensor = self.conv2(F.relu(self.conv1(F.relu(x))))
        if self.halves:
            x = F.avg_pool2d(x, 2)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Generator(nn.Module):
    """Draws images from latent vectors and classes.

    `pixels` is a power of two from 32 on, `width` the channels of the outermost stage at 64 px and above (times 4 at
    32 px). Attention comes before the last block: at half the image's size. Without `spectral_norm` it is the network
    to serve, whose weights `fold` made.
    """

    def __init__(
        self, pixels: int, width: int, classes: int = len(CLASSES), z: int = Z, spectral_norm: bool = True
    ) -> None:
        super().__init__()
        inputs, outputs, _ = _plans(pixels)
        self.pixels, self.classes, self.z = pixels, classes, z
        self.project = nn.Linear(z, inputs[0] * width * BOTTOM**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(i * width, o * width, classes) for i, o in zip(inputs, outputs, strict=True)
        )
        self.attention = SelfAttention(outputs[-2] * width)
        self.norm = nn.BatchNorm2d(outputs[-1] * width, eps=1e-4, momentum=0.1)
        self.image = Conv(outputs[-1] * width, 3, 3)
        _prepare(self, spectral_norm)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Latent vectors [n, z] and classes int64 [n] to images [n, 3, pixels, pixels] in -1..1."""
        h = self.project(z).view(len(z), -1, BOTTOM, BOTTOM).contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:-1]:
            h = block(h, labels)
        h = self.blocks[-1](self.attention(h), labels)
        return torch.tanh(self.image(F.relu(self.norm(h))))


class Discriminator(nn.Module):
    """Scores images for a class: high for real ones (a projection discriminator, Miyato & Koyama 2018).

    Attention comes after the first block: at half the image's size.
    """

    def __init__(self, pixels: int, width: int, classes: int = len(CLASSES), spectral_norm: bool = True) -> None:
        super().__init__()
        outputs = [times * width for times in _plans(pixels)[2]]
        halvings = 2 if pixels == 32 else len(outputs) - 1
        self.first = FirstBlock(outputs[0])
        self.attention = SelfAttention(outputs[0])
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(outputs[place - 1], outputs[place], place < halvings) for place in range(1, len(outputs))
        )
        self.score = nn.Linear(outputs[-1], 1)
        self.embedding = nn.Embedding(classes, outputs[-1])
        _prepare(self, spectral_norm)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, pixels, pixels] in -1..1 and classes int64 [n] to scores float32 [n]."""
        return self.scores(self.features(images), labels)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, pixels, pixels] in -1..1 to float32 [n, channels], at least 0: summed over all places."""
        h = self.attention(self.first(images))
        for block in self.blocks:
            h = block(h)
        return F.relu(h).sum((2, 3), dtype=torch.float32)

    def scores(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Features [n, channels] and classes int64 [n] to scores float32 [n]."""
        with torch.autocast(features.device.type, enabled=False):  # sums of thousands: bf16 keeps too few digits
            projected: torch.Tensor = self.score(features).squeeze(1) + (self.embedding(labels) * features).sum(1)
        return projected

    def class_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Features [n, channels] to logits float32 [n, classes]: each class's projection (Han et al. 2021)."""
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features, self.embedding.weight)


def _prepare(network: nn.Module, normalized: bool) -> None:
    """Orthogonal weights, biases of 0, spectral norm on every convolution, linear map and embedding; channels last."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            if normalized:
                spectral_norm(module, "weight", n_power_iterations=1, eps=1e-6)
    network.to(memory_format=torch.channels_last)


@contextmanager
def weights_computed_once(*networks: nn.Module) -> Iterator[None]:
    """Within the block every spectrally normalized weight of `networks` is computed once, now.

    In training mode that is one power iteration for each block instead of one for each pass. Enter it outside
    autocast, so that singular values are computed in float32.
    """
    with parametrize.cached():
        for network in networks:
            for module in network.modules():
                if parametrize.is_parametrized(module, "weight"):
                    _ = module.weight
        yield


def fold(generator: Generator) -> dict[str, torch.Tensor]:
    """The tensors of a `Generator` without spectral norm that draws what `generator` draws in eval mode (on CPU)."""
    tensors = {}
    training = generator.training
    generator.eval()
    with torch.no_grad():
        for name, tensor in generator.state_dict().items():
            module, _, last = name.partition(".parametrizations.weight.")
            if not last:
                tensors[name] = tensor
            elif last == "original":
                tensors[f"{module}.weight"] = generator.get_submodule(module).weight
    generator.train(training)
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def fuse(generator: Generator) -> Generator:
    """Compute once what depends on the weights alone: `generator` is for drawing from now on, not for training."""
    generator.eval().requires_grad_(False)
    for module in generator.modules():
        if isinstance(module, DoublingConv):
            module.kernel = module.spread().contiguous(memory_format=torch.channels_last)
    return generator
