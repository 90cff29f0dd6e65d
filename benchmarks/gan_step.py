"""`python -m benchmarks.gan_step`: the time of a training step, with either critic, and of drawing.

They are compared with plain networks, and the critics with one another.

Plain networks are the same in float32 and contiguous memory, with torch's legacy spectral norm (also while drawing) and
every convolution at the larger size. Both (with `--studiogan CHECKOUT`, all three) take turns in one process, so that
other work of the machine slows them alike. Ratios are of medians.
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
from gan.critics.sagan import Discriminator, DiscriminatorBlock, HalvingConv
from gan.data import Images
from gan.drawing import from_bytes
from gan.networks import BOTTOM, DoublingConv, Generator, GeneratorBlock
from gan.snapshot import snapshot
from gan.trainer import GANTrainer
from lesions.labels import CLASSES
from zoo.entry import catalog
from zoo.kinds.base import Context, Data, Pretrained
from zoo.kinds.generator import Generator as Entry
from zoo.kinds.generator import GeneratorRecipe, resolve
from zoo.models.determinism import compute_deterministically
from zoo.study import Study


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"pixels": 128, "width": 64, "batch": 20, "threads": 2, "steps": 3, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--studiogan", type=Path, help="a checkout of PyTorch-StudioGAN, to compare with it, too")
    arguments = parser.parse_args()
    compute_deterministically(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe, projected = (
        _recipe(name, arguments.pixels, arguments.width, arguments.batch) for name in ("sagan", "projected")
    )
    images = torch.randint(256, (arguments.batch, arguments.pixels, arguments.pixels, 3), dtype=torch.uint8)
    batch = Images(images, torch.arange(arguments.batch) % len(CLASSES))

    trainer = GANTrainer(recipe, device)
    networks = {"plain": plain(recipe, device)}
    if arguments.studiogan:
        networks["studiogan"] = studiogan(arguments.studiogan, recipe, device)
    steps: dict[str, Callable[[], object]] = {"zoo": partial(trainer.step, 0, batch)}
    steps["projected"] = partial(GANTrainer(projected, device, torch.full((7,), 1 / 7)).step, 0, batch)
    steps |= {name: PlainTrainer(recipe, device, *pair, batch).step for name, pair in networks.items()}
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{arguments.threads} threads"
    print(f"{recipe.pixels} px, width {recipe.width}, batch {recipe.batch}, {where}, torch {torch.__version__}")
    print(f"bf16 in training: {'yes' if trainer.bf16 else 'no, this processor has no units for it'}")
    seconds = _medians(steps, arguments.steps, device)
    with_projected = seconds.pop("projected")
    _report("training step, s", seconds, seconds=True)
    print(f"with the projected critic: {with_projected:.3g} s")
    print(f"  projected / sagan: {with_projected / seconds['zoo']:.3f} of the time", flush=True)

    generator = snapshot(trainer.served_generator, recipe.width, 0)
    for count in (1, 8, 32):
        z, labels = torch.randn(count, generator.z, device=device), torch.zeros(count, dtype=torch.long, device=device)
        calls: dict[str, Callable[[], object]] = {"zoo": partial(generator, z, labels)}
        calls |= {name: partial(pair[0].eval(), z, labels) for name, pair in networks.items()}
        with torch.inference_mode():
            medians = _medians(calls, arguments.rounds, device)
        _report(f"drawing {count:>2}, images/s", {name: count / seconds for name, seconds in medians.items()})


def _medians(calls: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """The median seconds of `repeats` calls of each, in turns, after one call of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _report(title: str, numbers: dict[str, float], seconds: bool = False) -> None:
    print(f"{title}: " + ", ".join(f"{name} {number:.3g}" for name, number in numbers.items()))
    for name, number in numbers.items():
        if name != "zoo":
            ratio = numbers["zoo"] / number
            print(f"  zoo / {name}: {ratio:.3f}" + (" of the time" if seconds else " x the images"), flush=True)


def _recipe(name: str, pixels: int, width: int, batch: int) -> GeneratorRecipe:
    """The recipe of an entry at another size."""
    data = Data(store_sha256="", split_sha256="", counts={"train": [1] * 7}, mean=[0.5] * 3, std=[0.5] * 3)
    entry = catalog()[name]
    assert isinstance(entry, Entry)
    resolved = resolve(name, entry, Context(Study(scale="paper"), data, Pretrained("-")))
    return resolved.model_copy(update={"pixels": pixels, "width": width, "batch": batch})


# ---- plain networks


class PlainTrainer:
    """The step of `GANTrainer`, without anything that makes it faster."""

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

    def _descend(self, number: int, loss: torch.Tensor) -> None:
        self.optimizers[number].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[number].step()


def plain(recipe: GeneratorRecipe, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """The networks of `gan`, with each layer as the paper has it: nothing is fused."""
    generator = Generator(recipe.pixels, recipe.width, spectral_norm=False)
    discriminator = Discriminator(recipe.pixels, recipe.width, spectral_norm=False)
    generator.forward = partial(_generator, generator)  # type: ignore[method-assign]
    forwards: dict[type, Callable[..., torch.Tensor]] = {
        DoublingConv: _conv,
        HalvingConv: _conv,
        GeneratorBlock: _generator_block,
        DiscriminatorBlock: _discriminator_block,
    }
    for network in (generator, discriminator):
        for module in list(network.modules()):
            if type(module) in forwards:
                module.forward = partial(forwards[type(module)], module)
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


def _discriminator_block(block: Any, x: torch.Tensor) -> torch.Tensor:
    if block.first:
        h = F.avg_pool2d(block.conv2(F.relu(block.conv1(x))), 2)
        return h + block.shortcut(F.avg_pool2d(x, 2))  # type: ignore[no-any-return]
    h = block.conv2(F.relu(block.conv1(F.relu(x))))
    shortcut = x if block.shortcut is None else block.shortcut(x)
    return F.avg_pool2d(h, 2) + F.avg_pool2d(shortcut, 2) if block.halves else h + shortcut


# ---- StudioGAN's own


def studiogan(checkout: Path, recipe: GeneratorRecipe, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """The networks of PyTorch-StudioGAN in a `checkout`, configured as in the thesis."""
    sys.path.insert(0, str(checkout / "src"))
    # Of utils.misc the networks use an empty context only; the rest needs plotting libraries that are not installed.
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
    settings = {
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

    def build(network: Any) -> nn.Module:
        """Pass the parameters that this version of StudioGAN has; those not used here are "N/A"."""
        names = list(inspect.signature(network).parameters)
        module: nn.Module = network(**{name: settings.get(name, "N/A") for name in names})
        return module.to(device)

    return build(resnet.Generator), _Scores(build(resnet.Discriminator))


class _Scores(nn.Module):
    """The scores of StudioGAN's discriminator, which returns a dictionary."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, pixels, pixels] and classes [n] to scores [n]."""
        scores: torch.Tensor = self.network(images, labels)["adv_output"]
        return scores


if __name__ == "__main__":
    main()
