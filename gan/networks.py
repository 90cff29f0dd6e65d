"""The generator of the conditional SAGAN (Zhang et al. 2019, "Self-Attention Generative Adversarial Networks").

The channel plans are those of StudioGAN's `resnet` backbone. A 3 x 3 convolution beside a doubling or halving of the
size is computed as one strided convolution with a 4 x 4 kernel: the same function of the same weights with 4 / 9 of the
multiplications ("fused scale" of Karras et al. 2018). A 1 x 1 convolution is computed at the smaller size, with
the same result. Discriminators: `gan.critics`.
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

BOTTOM = 4  # height and width of the generator's first feature maps
MAX_CHANNELS = 16  # the most channels of a stage, in units of the width
Z = 128  # length of a latent vector


def channel_plans(pixels: int) -> tuple[list[int], list[int], list[int]]:
    """Channels in units of the width: inputs and outputs of the generator's blocks, outputs of the discriminator's.

    As in StudioGAN: constant at 32 px; from 64 px on they double with each halving of the size, up to 16. (From 256 px
    on StudioGAN repeats 8 once; this plan does not.) Raises `ValueError` where `pixels` is no power of two from 32 on.
    """
    doublings = int(math.log2(pixels / BOTTOM)) if pixels > 0 else 0
    if doublings < 3 or BOTTOM * 2**doublings != pixels:
        raise ValueError(f"{pixels} pixels: a size is a power of two, 32 or more")
    if pixels == 32:
        return [4, 4, 4], [4, 4, 4], [2, 2, 2, 2]
    down = [min(MAX_CHANNELS, 2**stage) for stage in range(doublings)]
    up, deepest = down[::-1], min(MAX_CHANNELS, 2 * down[-1])
    return [deepest, *up[:-1]], up, [*down, deepest]


def fused_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Kernels [out, in, 4, 4]: the sum of `weight` [out, in, 3, 3] at its four positions in a 4 x 4 kernel."""
    padded = F.pad(weight, (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class Conv(nn.Conv2d):
    """A convolution with a `side` x `side` kernel that keeps the size of its input."""

    def __init__(self, inputs: int, outputs: int, side: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, bias=bias)


class DoublingConv(Conv):
    """Nearest-neighbor doubling, then a 3 x 3 convolution: [n, in, s, s] to [n, out, 2s, 2s]."""

    kernel: torch.Tensor | None  # the fused kernel as `fuse` computed it; none while the weights may change

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)
        self.register_buffer("kernel", None, persistent=False)

    def fused(self) -> torch.Tensor:
        """The kernels of the transposed convolution, [in, out, 4, 4]."""
        return fused_kernel(self.weight.flip(2, 3)).transpose(0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, in, s, s] to [n, out, 2s, 2s]."""
        kernel = self.fused() if self.kernel is None else self.kernel
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a shift for each class: BN(x) * (1 + gain[y]) + shift[y]."""

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
    """x + strength * attention over all positions, with keys and values pooled 2 x 2; `strength` starts at 0."""

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
        attended = (value @ weights.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:])
        residual: torch.Tensor = self.out(attended)
        return x + self.strength.to(x.dtype) * residual


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
        output: torch.Tensor = F.interpolate(self.shortcut(x), scale_factor=2) + h
        return output


class Generator(nn.Module):
    """A network that draws images from latent vectors and classes.

    `pixels`, height and width of an image, is a power of two, 32 or more. `width` is the number of channels of the last
    block (at 32 px a quarter of that number). Attention is before the last block, at half of the image's size.
    Without `spectral_norm` it is the network to serve, with weights from `fold`.
    """

    def __init__(
        self, pixels: int, width: int, classes: int = len(CLASSES), z: int = Z, spectral_norm: bool = True
    ) -> None:
        super().__init__()
        inputs, outputs, _ = channel_plans(pixels)
        self.pixels, self.classes, self.z = pixels, classes, z
        self.project = nn.Linear(z, inputs[0] * width * BOTTOM**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(i * width, o * width, classes) for i, o in zip(inputs, outputs, strict=True)
        )
        self.attention = SelfAttention(outputs[-2] * width)
        self.norm = nn.BatchNorm2d(outputs[-1] * width, eps=1e-4, momentum=0.1)
        self.image = Conv(outputs[-1] * width, 3, 3)
        initialize(self, spectral_norm)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Latent vectors [n, z] and classes int64 [n] to images [n, 3, pixels, pixels] in -1..1."""
        h = self.project(z).view(z.shape[0], -1, BOTTOM, BOTTOM).contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:-1]:
            h = block(h, labels)
        h = self.blocks[-1](self.attention(h), labels)
        return torch.tanh(self.image(F.relu(self.norm(h))))


def initialize(network: nn.Module, normalize: bool) -> None:
    """Set orthogonal weights and biases of 0; to `normalize`, add spectral norm to every layer with weights.

    Those are convolutions, linear layers and embeddings. Tensors of images get the memory format channels last.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            if normalize:
                spectral_norm(module, "weight", n_power_iterations=1, eps=1e-6)
    network.to(memory_format=torch.channels_last)


@contextmanager
def weights_computed_once(*networks: nn.Module) -> Iterator[None]:
    """Compute every spectrally normalized weight of `networks` once, for all passes within the block.

    In training mode that is one power iteration for the block instead of one for each pass. Enter it outside autocast,
    so that singular values are computed in float32.
    """
    with parametrize.cached():
        for network in networks:
            for module in network.modules():
                if parametrize.is_parametrized(module, "weight"):
                    _ = module.weight
        yield


def fold(generator: Generator) -> dict[str, torch.Tensor]:
    """Return tensors (on the CPU) for a `Generator` without spectral norm, which draws as `generator` in eval mode."""
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
    """Compute the kernels that depend on the weights alone; afterwards `generator` can draw, but not train."""
    generator.eval().requires_grad_(False)
    for module in generator.modules():
        if isinstance(module, DoublingConv):
            module.kernel = module.fused().contiguous(memory_format=torch.channels_last)
    return generator
