"""The networks have the SAGAN's layers, and every conditional layer gets a gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan.critics.sagan import Discriminator, HalvingConv
from gan.networks import DoublingConv, Generator, Z, fold, fuse, weights_computed_once


def noise(count: int) -> torch.Tensor:
    return torch.randn(count, Z)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_numbers_of_parameters_are_those_of_the_thesis() -> None:
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.init, "orthogonal_", lambda weight: weight)  # 70 million numbers would take seconds
        patch.setattr("gan.networks.spectral_norm", lambda *_, **__: None)
        generator, discriminator = Generator(128, 64), Discriminator(128, 64)
    assert count(generator) == 32_230_404
    assert count(generator.project) == 2_113_536
    assert [count(block) for block in generator.blocks] == [19_954_688, 7_625_216, 1_912_064, 480_896, 121_664]
    assert count(generator.attention) == 20_481
    assert count(generator.norm) + count(generator.image) == 1_859
    assert count(discriminator) == 38_431_426
    assert count(discriminator.first) == 38_976
    assert count(discriminator.attention) == 5_121
    assert [count(block) for block in discriminator.blocks] == [229_760, 918_272, 3_671_552, 14_683_136, 18_876_416]
    assert count(discriminator.score) + count(discriminator.embedding) == 8_193


@pytest.mark.parametrize("pixels", [32, 64, 128, 256])
def test_stages_have_the_shapes_of_the_table(pixels: int) -> None:
    width = 2
    generator, discriminator = Generator(pixels, width), Discriminator(pixels, width)
    shapes: list[tuple[int, ...]] = []
    for module in (*generator.blocks, generator.attention, discriminator.first, discriminator.attention):
        module.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    for module in discriminator.blocks:
        module.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        images = generator(noise(2), torch.tensor([0, 6]))
        scores = discriminator(images, torch.tensor([0, 6]))
    assert images.shape == (2, 3, pixels, pixels)
    assert images.abs().max() <= 1
    assert scores.shape == (2,)
    half = pixels // 2
    up, down = shapes[: len(generator.blocks) + 1], shapes[len(generator.blocks) + 1 :]
    assert up[-2][1:] == (half, half), "attention is at half of the size"
    assert up[-1][1:] == (pixels, pixels)
    assert down[0] == down[1]
    assert down[1][1:] == (half, half)
    assert down[-1][1:] == down[-2][1:], "the last block does not halve"
    if pixels == 128:
        channels = [(c // width, side) for c, side, _ in up]
        assert channels == [(16, 8), (8, 16), (4, 32), (2, 64), (2, 64), (1, 128)]
        channels = [(c // width, side) for c, side, _ in down]
        assert channels == [(1, 64), (1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (16, 4)]


@pytest.mark.parametrize("pixels", [0, 16, 48, 100])
def test_other_sizes_are_refused(pixels: int) -> None:
    with pytest.raises(ValueError, match="power of two, 32 or more"):
        Generator(pixels, 4)


def test_fused_convolutions_equal_plain_ones() -> None:
    doubling, halving = DoublingConv(3, 5).double(), HalvingConv(3, 5, 3).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), doubling.weight, doubling.bias, padding=1)
    torch.testing.assert_close(doubling(x), plain)
    plain = F.avg_pool2d(F.conv2d(x, halving.weight, halving.bias, padding=1), 2)
    torch.testing.assert_close(halving(x), plain)


def test_every_table_of_classes_gets_a_gradient() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(32, 4), Discriminator(32, 4)
    labels = torch.tensor([1, 4])
    discriminator(generator(noise(2), labels), labels).sum().backward()
    tables = {
        name: parameter.grad
        for network in (generator, discriminator)
        for name, parameter in network.named_parameters()
        if any(word in name for word in ("gain", "shift", "embedding"))
    }
    assert len(tables) == 3 * 2 * 2 + 1
    for name, gradient in tables.items():
        assert gradient is not None, name
        assert gradient[labels].abs().amax(1).min() > 0, f"{name}: no gradient for the classes drawn"


def test_a_folded_and_fused_generator_draws_the_same() -> None:
    generator = Generator(64, 4)
    with torch.no_grad():
        generator.attention.strength.fill_(0.7)
        generator(noise(16), torch.arange(16) % 7)  # moves the running statistics
    generator.eval()
    folded = Generator(64, 4, spectral_norm=False)
    folded.load_state_dict(fold(generator))
    z, labels = noise(5), torch.arange(5)
    with torch.inference_mode():
        torch.testing.assert_close(fuse(folded)(z, labels), generator(z, labels), atol=1e-5, rtol=0)


def test_weights_computed_once_take_one_power_iteration_for_all_passes() -> None:
    discriminator = Discriminator(32, 4)
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
    vector = discriminator.score.parametrizations.weight[0]._u  # type: ignore[union-attr,index]
    with weights_computed_once(discriminator):
        once = vector.clone()
        first, second = discriminator(images, labels), discriminator(images, labels)
    assert torch.equal(first, second)
    assert torch.equal(vector, once)
