"""`python -m benchmarks.gan_step`: a training step and drawing, against the same networks written plainly.

Plainly: float32, contiguous, torch's legacy spectral norm, every convolution at the larger size, spectral norm in place
while drawing. Both (with `--studiogan CHECKOUT`, all three) take turns in one process, so that whatever else the
machine does hits them alike; ratios are of medians.
"""

import argparse
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

from gan import losses
from gan.data import Images
from gan.drawing import from_bytes
from gan.networks import (
    BOTTOM,
    Discriminator,
    DiscriminatorBlock,
    DoublingConv,
    FirstBlock,
    Generator,
    GeneratorBlock,
    HalvingConv,
)
from gan.snapshot import snapshot
from gan.trainer import GANTrainer
from lesions.labels import CLASSES
from zoo.entry import Generator as Entry
from zoo.generator_recipe import GeneratorRecipe, resolve
from zoo.recipe import Data
from zoo.study import Study


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"pixels": 128, "width": 64, "batch": 20, "threads": 2, "steps": 3, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--studiogan", type=Path, help="a checkout of PyTorch-StudioGAN, to compare with as well")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = _recipe(given.pixels, given.width, given.batch)
    images = torch.randint(256, (given.batch, given.pixels, given.pixels, 3), dtype=torch.uint8)
    batch = Images(images, torch.arange(given.batch) % len(CLASSES))

    game = GANTrainer(recipe, device)
    players = {"plain": plain(recipe, device)}
    if given.studiogan:
        players["studiogan"] = studiogan(given.studiogan, recipe, device)
    steps: dict[str, Callable[[], object]] = {"zoo": partial(game.step, 0, batch)}
    steps |= {name: PlainGame(recipe, device, *pair, batch).step for name, pair in players.items()}
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{given.threads} threads"
    print(f"{given.pixels} px, width {given.width}, batch {given.batch}, {where}, torch {torch.__version__}")
    print(f"bf16 in training: {'yes' if game.bf16 else 'no, this processor has no units for it'}")
    _report("training step, s", _medians(steps, given.steps, device), seconds=True)

    served = snapshot(game.served, recipe.width, 0)
    for count in (1, 8, 32):
        z, labels = torch.randn(count, served.z, device=device), torch.zeros(count, dtype=torch.long, device=device)
        drawn: dict[str, Callable[[], object]] = {"zoo": partial(served, z, labels)}
        drawn |= {name: partial(pair[0].eval(), z, labels) for name, pair in players.items()}
        with torch.inference_mode():
            medians = _medians(drawn, given.rounds, device)
        _report(f"drawing {count:>2}, images/s", {name: count / took for name, took in medians.items()})


def _medians(work: dict[str, Callable[[], object]], times: int, device: torch.device) -> dict[str, float]:
    """Seconds of each, the median of `times`, in turns, after one each that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for time_ in range(times + 1):
        for name, do in work.items():
            begin = time.perf_counter()
            do()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if time_:
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _report(what: str, numbers: dict[str, float], seconds: bool = False) -> None:
    print(f"{what}: " + ", ".join(f"{name} {number:.3g}" for name, number in numbers.items()))
    for name, number in numbers.items():
        if name != "zoo":
            ratio = numbers["zoo"] / number
            print(f"  zoo / {name}: {ratio:.3f}" + (" of the time" if seconds else " x the images"), flush=True)


def _recipe(pixels: int, width: int, batch: int) -> GeneratorRecipe:
    """The thesis's, at another size."""
    data = Data(store_sha256="", split_sha256="", counts={"train": [1] * 7}, mean=[0.5] * 3, std=[0.5] * 3)
    resolved = resolve("sagan", Entry(kind="generator", about="-"), Study(scale="paper"), data, "-")
    return resolved.model_copy(update={"pixels": pixels, "width": width, "batch": batch})


# ---- the plain way


class PlainGame:
    """The same step as `GANTrainer`'s, without anything that makes it faster."""

    def __init__(
        self,
        recipe: GeneratorRecipe,
        device: torch.device,
        generator: nn.Module,
        discriminator: nn.Module,
        batch: Images,
    ) -> None:
        self.generator, self.discriminator, self.device, self.size = generator, discriminator, device, recipe.batch
        self.real, self.labels = from_bytes(batch.images).contiguous().to(device), batch.labels.to(device)
        rates = (recipe.learning_rate_generator, recipe.learning_rate_discriminator)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, recipe.betas, recipe.epsilon)
            for network, rate in zip((generator, discriminator), rates, strict=True)
        ]

    def step(self) -> None:
        """The discriminator's update, then the generator's."""
        self.generator.train(), self.discriminator.train()
        with torch.no_grad():
            images, labels = self._draw()
        scores = self.discriminator(self.real, self.labels), self.discriminator(images, labels)
        self._descend(1, losses.discriminator_hinge(*scores))
        self.discriminator.requires_grad_(False)
        self._descend(0, losses.generator_hinge(self.discriminator(*self._draw())))
        self.discriminator.requires_grad_(True)

    def _draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.randn(self.size, 128, device=self.device)
        labels = torch.randint(len(CLASSES), (self.size,), device=self.device)
        return self.generator(z, labels), labels

    def _descend(self, which: int, loss: torch.Tensor) -> None:
        self.optimizers[which].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[which].step()


def plain(recipe: GeneratorRecipe, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """Our networks, with every layer as SAGAN.md writes it down."""
    generator = Generator(recipe.pixels, recipe.width, spectral_norm=False)
    discriminator = Discriminator(recipe.pixels, recipe.width, spectral_norm=False)
    generator.forward = partial(_generator, generator)  # type: ignore[method-assign]
    ways: dict[type, Callable[..., torch.Tensor]] = {
        DoublingConv: _conv,
        HalvingConv: _conv,
        GeneratorBlock: _generator_block,
        FirstBlock: _first_block,
        DiscriminatorBlock: _discriminator_block,
    }
    for network in (generator, discriminator):
        for module in list(network.modules()):
            if type(module) in ways:
                module.forward = partial(ways[type(module)], module)
            if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                spectral_norm(module, eps=1e-6)
        network.to(device).to(memory_format=torch.contiguous_format)
    return generator, discriminator


def _conv(layer: Any, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=1)


def _generator(network: Any, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    h = network.project(z).view(len(z), -1, BOTTOM, BOTTOM)
    for block in network.blocks[:-1]:
        h = block(h, labels)
    h = network.blocks[-1](network.attention(h), labels)
    return torch.tanh(network.image(F.relu(network.norm(h))))


def _generator_block(block: Any, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    h = block.conv1(F.interpolate(F.relu(block.norm1(x, labels)), scale_factor=2))
    h = block.conv2(F.relu(block.norm2(h, labels)))
    return h + block.shortcut(F.interpolate(x, scale_factor=2))  # type: ignore[no-any-return]


def _first_block(block: Any, x: torch.Tensor) -> torch.Tensor:
    h = F.avg_pool2d(block.conv2(F.relu(block.conv1(x))), 2)
    return h + block.shortcut(F.avg_pool2d(x, 2))  # type: ignore[no-any-return]


def _discriminator_block(block: Any, x: torch.Tensor) -> torch.Tensor:
    h = block.conv2(F.relu(block.conv1(F.relu(x))))
    aside = x if block.shortcut is None else block.shortcut(x)
    return F.avg_pool2d(h, 2) + F.avg_pool2d(aside, 2) if block.halves else h + aside


# ---- StudioGAN's own


def studiogan(checkout: Path, recipe: GeneratorRecipe, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """PyTorch-StudioGAN's modules from a `checkout`, configured as the thesis had them."""
    sys.path.insert(0, str(checkout / "src"))
    # Of utils.misc the networks use an empty context only; the rest of it wants plotting libraries that we do not have.
    misc: Any = ModuleType("utils.misc")
    misc.dummy_context_mgr = nullcontext
    sys.modules["utils.misc"] = misc
    try:
        from models import resnet  # type: ignore[import-not-found]
        from utils import ops  # type: ignore[import-not-found]
    except ImportError as error:
        raise SystemExit(f"error: {checkout}: no usable checkout of PyTorch-StudioGAN ({error})") from None
    modules = SimpleNamespace(
        g_bn=ops.ConditionalBatchNorm2d,
        g_conv2d=ops.snconv2d,
        g_linear=ops.snlinear,
        g_embedding=ops.sn_embedding,
        g_act_fn=nn.ReLU(inplace=True),
        d_conv2d=ops.snconv2d,
        d_linear=ops.snlinear,
        d_embedding=ops.sn_embedding,
        d_act_fn=nn.ReLU(inplace=True),
    )
    given = {
        "z_dim": 128,
        "img_size": recipe.pixels,
        "g_conv_dim": recipe.width,
        "d_conv_dim": recipe.width,
        "apply_attn": True,
        "attn_g_loc": [{32: 2, 64: 3, 128: 4}[recipe.pixels]],
        "attn_d_loc": [1],
        "g_cond_mtd": "cBN",
        "d_cond_mtd": "PD",
        "num_classes": len(CLASSES),
        "g_init": "ortho",
        "d_init": "ortho",
        "apply_d_sn": True,
        "normalize_d_embed": False,
        "mixed_precision": False,
        "MODULES": modules,
        "MODEL": SimpleNamespace(info_type="N/A", g_info_injection="N/A"),
    }

    def built(network: Any) -> nn.Module:
        """What its version of StudioGAN does not need is left out, what we do not use is "N/A"."""
        names = list(inspect.signature(network).parameters)
        made: nn.Module = network(**{name: given.get(name, "N/A") for name in names})
        return made.to(device)

    return built(resnet.Generator), _Scores(built(resnet.Discriminator))


class _Scores(nn.Module):
    """StudioGAN's discriminator returns a dictionary; of which the score."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, pixels, pixels] and classes [n] to scores [n]."""
        scores: torch.Tensor = self.network(images, labels)["adv_output"]
        return scores


if __name__ == "__main__":
    main()
