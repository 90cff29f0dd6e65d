"""The networks are those of SAGAN.md to the parameter, conditioned everywhere, and normalized."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gan.data import Images
from gan.drawing import latent
from gan.networks import Conv, Discriminator, DoublingConv, Generator, HalvingConv, fold, fuse, weights_computed_once
from gan.trainer import GANTrainer
from zoo.generator_recipe import GeneratorRecipe


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_thesis_has_these_parameters_and_shapes() -> None:
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.init, "orthogonal_", lambda weight: weight)  # as if: 70 million numbers would take seconds
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
def test_stages_have_the_sizes_of_the_table(pixels: int) -> None:
    width = 2
    generator, discriminator = Generator(pixels, width), Discriminator(pixels, width)
    seen: list[tuple[int, ...]] = []
    for part in (*generator.blocks, generator.attention, discriminator.first, discriminator.attention):
        part.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    for part in discriminator.blocks:
        part.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    with torch.no_grad():
        images = generator(latent(1, 0, 2, 128), torch.tensor([0, 6]))
        scores = discriminator(images, torch.tensor([0, 6]))
    assert images.shape == (2, 3, pixels, pixels)
    assert images.abs().max() <= 1
    assert scores.shape == (2,)
    half = pixels // 2
    drawn, judged = seen[: len(generator.blocks) + 1], seen[len(generator.blocks) + 1 :]
    assert drawn[-2][1:] == (half, half), "attention sees half the size"
    assert drawn[-1][1:] == (pixels, pixels)
    assert judged[0] == judged[1]
    assert judged[1][1:] == (half, half)
    assert judged[-1][1:] == judged[-2][1:], "the last block does not halve"
    if pixels == 128:
        channels = [(c // width, side) for c, side, _ in drawn]
        assert channels == [(16, 8), (8, 16), (4, 32), (2, 64), (2, 64), (1, 128)]
        channels = [(c // width, side) for c, side, _ in judged]
        assert channels == [(1, 64), (1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (16, 4)]


@pytest.mark.parametrize("pixels", [0, 16, 48, 100])
def test_other_sizes_are_refused(pixels: int) -> None:
    with pytest.raises(ValueError, match="power of two, 32 or more"):
        Generator(pixels, 4)


def test_fused_convolutions_are_the_plain_ones() -> None:
    doubling, halving = DoublingConv(3, 5).double(), HalvingConv(3, 5).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), doubling.weight, doubling.bias, padding=1)
    torch.testing.assert_close(doubling(x), plain)
    plain = F.avg_pool2d(F.conv2d(x, halving.weight, halving.bias, padding=1), 2)
    torch.testing.assert_close(halving(x), plain)


def test_conditioning_reaches_every_table_of_both_networks() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(32, 4), Discriminator(32, 4)
    labels = torch.tensor([1, 4])
    discriminator(generator(latent(1, 0, 2, 128), labels), labels).sum().backward()
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


def test_without_in_place_relu_the_shortcut_keeps_what_is_negative() -> None:
    discriminator = Discriminator(32, 4)
    block = discriminator.blocks[-1]
    x = -torch.rand(1, 8, 8, 8)
    before = x.clone()
    with torch.no_grad():
        for module in (block.conv1, block.conv2):
            assert isinstance(module, Conv)
            parametrize.remove_parametrizations(module, "weight")
            module.weight.zero_()
        torch.testing.assert_close(block(x), before)
    torch.testing.assert_close(x, before)


def test_spectral_norm_holds_every_singular_value_at_one(tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    game = GANTrainer(tiny_recipe, torch.device("cpu"))
    for number in range(50):
        game.step(number, batch)
    layers = 0
    for network in (game.generator, game.discriminator):
        network.eval()
        for name, module in network.named_modules():
            if parametrize.is_parametrized(module):
                largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2).item()
                assert largest == pytest.approx(1, abs=0.05), name
                layers += 1
            else:
                assert not isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding), f"{name} is not normalized"
    assert layers == (1 + 3 * 7 + 4 + 1) + (3 + 4 + 3 + 2 + 2 + 2)


def test_folded_and_fused_it_draws_the_same() -> None:
    generator = Generator(64, 4)
    with torch.no_grad():
        generator.attention.strength.fill_(0.7)
        generator(latent(3, 0, 16, 128), torch.arange(16) % 7)  # moves the running statistics
    generator.eval()
    folded = Generator(64, 4, spectral_norm=False)
    folded.load_state_dict(fold(generator))
    z, labels = latent(1, 0, 5, 128), torch.arange(5)
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


def test_a_class_adds_its_logit_to_a_score() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(32, 2).eval()
    with torch.no_grad():
        found = discriminator.features(torch.randn(3, 3, 32, 32))
        scores = torch.stack([discriminator.scores(found, torch.full((3,), label)) for label in range(7)], 1)
        logits = discriminator.class_logits(found)
    assert logits.std() > 0
    torch.testing.assert_close(scores - scores[:, :1], logits - logits[:, :1])
