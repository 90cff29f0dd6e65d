"""Training steps: weights stay normalized, averages begin when the recipe says, and a state continues the same."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from gan import augment
from gan.critics import CRITICS
from gan.data import Images
from gan.trainer import GANTrainer
from zoo.kinds.generator import GeneratorRecipe
from zoo.models.averaging import moving_average

CPU = torch.device("cpu")


def test_spectral_norm_holds_every_singular_value_at_one(tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    trainer = GANTrainer(tiny_recipe, CPU)
    for number in range(50):
        trainer.step(number, batch)
    layers = 0
    for network in (trainer.generator, trainer.critic):
        network.eval()
        for name, module in network.named_modules():
            if parametrize.is_parametrized(module):
                largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2).item()
                assert largest == pytest.approx(1, abs=0.05), name
                layers += 1
            else:
                assert not isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding), f"{name} is not normalized"
    assert layers == (1 + 3 * 7 + 4 + 1) + (3 + 4 + 3 + 2 + 2 + 2)


@pytest.mark.parametrize("critic", CRITICS)
def test_a_state_continues_the_same(critic: str, tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    recipe = tiny_recipe.model_copy(update={"critic": critic, "mode_seeking": 0.2, "sampling": 0.5})
    shares = torch.arange(1, 8) / 28
    trainer, continued = GANTrainer(recipe, CPU, shares), GANTrainer(recipe, CPU, shares)
    trainer.step(0, batch)
    continued.load(deepcopy(trainer.state()))
    assert continued.step(1, batch) == trainer.step(1, batch)
    assert trainer.step(2, batch) != trainer.step(3, batch), "each step draws other fake images"


def test_averaged_weights_are_served_as_soon_as_there_are_some(tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    trainer = GANTrainer(tiny_recipe.model_copy(update={"ema_from": 1}), CPU)
    trainer.step(0, batch)
    assert trainer.served_generator is trainer.generator
    trainer.step(1, batch)
    assert trainer.served_generator is not trainer.generator
    without = GANTrainer(tiny_recipe.model_copy(update={"ema": None}), CPU)
    without.step(1, batch)
    assert without.served_generator is without.generator


def test_options_at_zero_leave_the_losses_alone(tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    off = {"class_loss": 0.0, "lecam": 0.0, "diffaugment": False}
    metrics = GANTrainer(tiny_recipe.model_copy(update=off), CPU).step(0, batch)
    assert metrics.lecam == 0
    with_lecam = GANTrainer(tiny_recipe.model_copy(update=off | {"lecam": 0.3, "lecam_from": 1}), CPU).step(0, batch)
    assert with_lecam.lecam > 0
    assert with_lecam._replace(lecam=0) == metrics, "before `lecam_from` it is only measured"


OFF = {"class_loss": 0.0, "class_loss_generator": 0.0, "lecam": 0.0, "diffaugment": [], "mode_seeking": 0.0}


def after_two_steps(recipe: GeneratorRecipe, batch: Images, **options: object) -> tuple[float, torch.Tensor]:
    """The generator's loss in the first step, and the critic's weights after the second."""
    trainer = GANTrainer(recipe.model_copy(update=OFF | options), CPU)
    loss = trainer.step(0, batch).generator
    trainer.step(1, batch)
    return loss, torch.cat([tensor.detach().flatten() for tensor in trainer.critic_parameters])


def test_each_option_is_in_its_loss(tiny_recipe: GeneratorRecipe, batch: Images) -> None:
    plain, critic = after_two_steps(tiny_recipe, batch)
    _, taught = after_two_steps(tiny_recipe, batch, class_loss=0.5)
    assert not torch.equal(taught, critic), "the critic learns classes"
    asked, _ = after_two_steps(tiny_recipe, batch, class_loss_generator=0.5)
    assert asked > plain, "the generator is asked for classes"
    weak, strong = (after_two_steps(tiny_recipe, batch, mode_seeking=weight)[0] for weight in (0.2, 0.4))
    assert strong > weak, "images that are alike cost"
    _, later = after_two_steps(tiny_recipe, batch, lecam=0.3, lecam_from=2)
    _, regularized = after_two_steps(tiny_recipe, batch, lecam=0.3, lecam_from=1)
    assert torch.equal(later, critic)
    assert not torch.equal(regularized, critic), "from `lecam_from` on it counts"


def test_real_and_fake_images_are_augmented_in_both_steps(
    tiny_recipe: GeneratorRecipe, batch: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def diffaugment(images: torch.Tensor, changes: object, _: torch.Generator) -> torch.Tensor:
        called.append((changes, images.requires_grad))
        return images

    monkeypatch.setattr(augment, "diffaugment", diffaugment)
    GANTrainer(tiny_recipe.model_copy(update=OFF | {"diffaugment": ["cutout"]}), CPU).step(0, batch)
    assert called == [(["cutout"], False)] * 2 + [(["cutout"], True)], "real, fake; then the generator's own"


def test_averages_follow_quickly_at_first() -> None:
    average = [torch.tensor([0.0])]
    moving_average(0.999)(average, [torch.tensor([1.0])], 1)
    assert average[0].item() == pytest.approx(1 - 2 / 11)
    moving_average(0.9)(average, [torch.tensor([0.0])], 10_000)
    assert average[0].item() == pytest.approx((1 - 2 / 11) * 0.9)


def test_pairs_ask_for_one_class(tiny_recipe: GeneratorRecipe) -> None:
    trainer = GANTrainer(tiny_recipe.model_copy(update={"batch": 9}), CPU)
    _, labels = trainer._latent(torch.Generator().manual_seed(0), paired=True)
    assert torch.equal(labels[:4], labels[4:8])
    assert len(labels) == 9


def test_classes_are_asked_by_their_shares(tiny_recipe: GeneratorRecipe) -> None:
    shares = torch.tensor([0.0, 0, 0, 0, 0.25, 0.75, 0])
    trainer = GANTrainer(tiny_recipe.model_copy(update={"batch": 4000}), CPU, shares)
    _, labels = trainer._latent(torch.Generator().manual_seed(0))
    assert torch.bincount(labels, minlength=7)[4].item() == pytest.approx(1000, abs=100)
    assert set(labels.tolist()) == {4, 5}
