"""A critic of the features of a frozen network: Sauer et al. 2021, "Projected GANs Converge Faster".

It sees an image as features of four stages of an ImageNet network, mixed at random across channels and stages, and
scores each stage with a head of its own. Only the heads are trained.
"""

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, cast

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.padding import pad_same
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gan.critics.base import Critic
from gan.networks import initialize
from lesions.labels import CLASSES
from zoo.models import imagenet

BACKBONE = "tf_efficientnet_lite1"
"""The frozen network. Quality is not to be measured by it: it would flatter the generator."""
LEAST_PIXELS = 64
"""Smaller images are enlarged to this side: the coarsest stage has a 32nd of it. Larger ones are seen as they are.

Enlarging images of 64 pixels to 128 took 1.5 times as long, and taught no faster (tried for 750 steps).
"""
CHANNELS = (64, 64, 128, 256)  # of the four stages, from the finest to the coarsest, after mixing
MAX_CHANNELS = 256  # in a head
PLACES = 4  # a head ends at PLACES x PLACES scores at most
CLASS_CHANNELS = 64  # the length of what is compared with a class's embedding
SLOPE = 0.2  # of leaky ReLU
FIRST_SCALE = 4.0  # of class logits; it is trained


class Judgment(NamedTuple):
    """What one head computes of images."""

    scores: torch.Tensor  # [n, 1, places, places], of images of whatever class
    classes: torch.Tensor  # [n, CLASS_CHANNELS, places, places], to compare with embeddings of classes


class ProjectedCritic(Critic):
    """Four heads on the mixed features of a frozen network. `pixels` is the side of the images, 32 or more.

    Raises `zoo.models.weights.WeightsError` where the frozen network's weights are not installed.
    """

    def __init__(self, pixels: int, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.pixels = max(LEAST_PIXELS, pixels)
        self.backbone = FrozenFeatures()
        self.mixing = RandomMixing(self.backbone.channels)
        sides = [self.pixels // stride for stride in self.backbone.strides]
        self.heads = nn.ModuleList(
            Head(channels, side, classes) for channels, side in zip(CHANNELS, sides, strict=True)
        )
        self.to(memory_format=torch.channels_last)

    def features(self, images: torch.Tensor) -> list[Judgment]:
        """What each head computes of images [n, 3, pixels, pixels] in -1..1."""
        if images.shape[-1] != self.pixels:
            images = F.interpolate(images, (self.pixels, self.pixels), mode="bilinear")
        stages = self.mixing(self.backbone(images.contiguous(memory_format=torch.channels_last)))
        return [head(stage) for head, stage in zip(self.heads, stages, strict=True)]

    def scores(self, features: list[Judgment], labels: torch.Tensor) -> torch.Tensor:
        """Scores float32 [n, places of all heads]: as an image of any class, and projected on its own class."""
        return torch.cat([head.project(judgment, labels) for head, judgment in self._pairs(features)], dim=1)

    def class_logits(self, features: list[Judgment]) -> torch.Tensor:
        """Logits float32 [n, heads, classes] of the mean over a head's places."""
        return torch.stack([head.class_logits(judgment) for head, judgment in self._pairs(features)], dim=1)

    def _pairs(self, features: list[Judgment]) -> list[tuple["Head", Judgment]]:
        return list(zip(cast("list[Head]", list(self.heads)), features, strict=True))


class FrozenFeatures(nn.Module):
    """Features of four stages of a network whose weights, and statistics of batch norm, are never trained."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # random weights are drawn, and replaced
            network: Any = timm.create_model(BACKBONE, features_only=True, out_indices=(1, 2, 3, 4))
        weights = imagenet.load(BACKBONE)
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        fold_batch_norm(network)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1 and module.stride == (2, 2):
                module.forward = partial(_halving_conv, module)  # type: ignore[method-assign]
        self.network = network
        self.channels: list[int] = network.feature_info.channels()
        self.strides: list[int] = network.feature_info.reduction()
        self.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images [n, 3, s, s] in -1..1, which is how the network was trained, to [n, channels, s / stride, ...]."""
        features: list[torch.Tensor] = self.network(images)
        return features


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch norm of a timm EfficientNet, in eval mode, into the convolution before it: the same function."""
    conv: nn.Conv2d | None = None
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            conv = module
        elif isinstance(module, BatchNormAct2d):
            assert conv is not None
            assert module.running_mean is not None
            assert module.running_var is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, module.running_mean, module.running_var, module.eps, module.weight, module.bias
            )
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, module.act)


def _halving_conv(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution of stride 2, [n, c, s, s] to [n, c, s / 2, s / 2].

    Where a gradient is wanted it is computed at stride 1, and every second value taken: torch's gradient at stride 2
    takes ten times as long on a CPU.
    """
    x = pad_same(x, list(conv.kernel_size), list(conv.stride))
    if not x.requires_grad:
        return F.conv2d(x, conv.weight, conv.bias, conv.stride, groups=conv.groups)
    return F.conv2d(x, conv.weight, conv.bias, groups=conv.groups)[:, :, ::2, ::2]


class RandomMixing(nn.Module):
    """Random convolutions, never trained, which mix the channels of each stage, and add coarser stages to finer ones.

    So a head cannot look at a few channels alone. (Sauer et al. 2021, section 3.2.) Each convolution keeps the
    variance; sums over scales have more.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.across_channels = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in zip(channels, CHANNELS, strict=True)
        )
        self.across_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in pairwise(CHANNELS)
        )
        for module in (*self.across_channels, *self.across_scales):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        self.requires_grad_(False)

    def forward(self, stages: list[torch.Tensor]) -> list[torch.Tensor]:
        """Features of four stages, from the finest to the coarsest, to as many with `CHANNELS`."""
        mixed = [conv(stage) for conv, stage in zip(self.across_channels, stages, strict=True)]
        for k in reversed(range(len(mixed) - 1)):
            coarser = F.interpolate(mixed[k + 1], mixed[k].shape[2:], mode="bilinear")
            mixed[k] = mixed[k] + self.across_scales[k](coarser)
        return mixed


class Head(nn.Module):
    """Convolutions down to `PLACES` x `PLACES` or less, then a score and a class vector a place; spectral norm."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while side > PLACES:
            outputs = min(MAX_CHANNELS, 2 * channels)
            layers += [nn.Conv2d(channels, outputs, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            channels, side = outputs, side // 2
        self.trunk = nn.Sequential(*layers, nn.Conv2d(channels, channels, 1), nn.LeakyReLU(SLOPE))
        self.score = nn.Conv2d(channels, 1, 3, padding=1)
        self.classes = nn.Conv2d(channels, CLASS_CHANNELS, 3, padding=1)
        self.embedding = nn.Parameter(torch.randn(classes, CLASS_CHANNELS))
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        initialize(self, normalize=True)

    def forward(self, stage: torch.Tensor) -> Judgment:
        """Mixed features [n, channels, side, side] to scores and class vectors."""
        h = self.trunk(stage)
        return Judgment(self.score(h), self.classes(h))

    def project(self, judgment: Judgment, labels: torch.Tensor) -> torch.Tensor:
        """Scores float32 [n, places] of images of the classes `labels`, int64 [n]."""
        with torch.autocast(labels.device.type, enabled=False):
            own = F.normalize(self.embedding)[labels]
            projected = torch.einsum("nchw,nc->nhw", judgment.classes.float(), own)
            return (judgment.scores.float().squeeze(1) + projected).flatten(1)

    def class_logits(self, judgment: Judgment) -> torch.Tensor:
        """Logits float32 [n, classes]: the mean class vector of an image, projected on each class (Han et al. 2021)."""
        with torch.autocast(judgment.classes.device.type, enabled=False):
            mean = judgment.classes.float().mean((2, 3))
            return self.scale * F.linear(mean, F.normalize(self.embedding))
