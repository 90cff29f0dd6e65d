"""The two networks and one step of their game."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gan import augment, losses
from gan.data import FAKE, Images, generator_for
from gan.drawing import from_bytes
from gan.networks import Discriminator, Generator, weights_computed_once
from lesions.labels import CLASSES
from zoo.generator_recipe import GeneratorRecipe


class StepMetrics(NamedTuple):
    """What one step came to."""

    discriminator: float
    """The hinge loss: 2 where it cannot tell real from fake, 0 where nothing is left to learn."""
    generator: float
    real: float
    """The mean score of real images."""
    fake: float
    """The mean score of fake images, in the discriminator's step."""
    lecam: float
    """The regularization, before it is multiplied by its strength; 0 without."""
    spread: float
    """The std of a fake image's values over the batch, mean of all pixels, on the scale -1..1."""


class GANTrainer:
    """Generator and discriminator, their optimizers and averages, trained by a recipe."""

    def __init__(self, recipe: GeneratorRecipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)  # the initial weights' only
        self.recipe, self.device = recipe, device
        self.bf16 = bf16_is_fast(device)
        self.generator = Generator(recipe.pixels, recipe.width).to(device)
        self.discriminator = Discriminator(recipe.pixels, recipe.width).to(device)
        self.averaged: AveragedModel | None = None
        if recipe.ema is not None:
            self.averaged = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))  # type: ignore[no-untyped-call]
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, recipe.betas, recipe.epsilon, foreach=True)
            for network, rate in (
                (self.discriminator, recipe.learning_rate_discriminator),
                (self.generator, recipe.learning_rate_generator),
            )
        ]
        self.lecam = losses.LeCam()

    def step(self, number: int, batch: Images) -> StepMetrics:
        """Update the discriminator, then the generator, in step `number` (from 0) with a `batch` of real images."""
        random = generator_for(self.recipe.seed, FAKE, number)
        real, fake, regular = self._update_discriminator(number, batch, random)
        generator_loss, spread = self._update_generator(random)
        if self.averaged is not None and number >= self.recipe.ema_from:
            self.averaged.update_parameters(self.generator)
        return StepMetrics(
            losses.discriminator_hinge(real, fake).item(),
            generator_loss,
            real.mean().item(),
            fake.mean().item(),
            regular,
            spread,
        )

    def _update_discriminator(
        self, number: int, batch: Images, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Returns the scores of real and of fake images, [n] each, and the regularization."""
        z, fake_labels = self._latent(random)
        with torch.no_grad(), weights_computed_once(self.generator), self._autocast():
            fake_images = self.generator(z, fake_labels).float()
        real_images, real_labels = from_bytes(batch.images.to(self.device)), batch.labels.to(self.device)
        if self.recipe.diffaugment:
            real_images = augment.differentiable(real_images, self.recipe.diffaugment, random)
            fake_images = augment.differentiable(fake_images, self.recipe.diffaugment, random)
        with weights_computed_once(self.discriminator):
            # Side by side: the discriminator has no batch statistics, so its scores are those of separate passes.
            images, labels = torch.cat([real_images, fake_images]), torch.cat([real_labels, fake_labels])
            with self._autocast():
                found = self.discriminator.features(images)
                real, fake = self.discriminator.scores(found, labels).chunk(2)
            loss = losses.discriminator_hinge(real, fake)
            if self.recipe.class_loss:
                logits = self.discriminator.class_logits(found[: len(real)])
                loss = loss + self.recipe.class_loss * losses.classification(logits, real_labels)
            regular = 0.0
            if self.recipe.lecam:
                begun = number >= self.recipe.lecam_from
                self.lecam.update(real, fake, follow=number == 0)
                penalty = self.lecam.loss(real, fake)
                regular = penalty.item()
                loss = loss + self.recipe.lecam * penalty * begun
            self._descend(self.optimizers[0], loss)
        return real.detach(), fake.detach(), regular

    def _update_generator(self, random: torch.Generator) -> tuple[float, float]:
        """Returns the loss, and the spread of the fake images."""
        z, labels = self._latent(random)
        self.discriminator.requires_grad_(False)  # gradients pass through it, and its own are not wanted
        with weights_computed_once(self.generator, self.discriminator):
            with self._autocast():
                images = self.generator(z, labels).float()
                changes = self.recipe.diffaugment
                seen = augment.differentiable(images, changes, random) if changes else images
                found = self.discriminator.features(seen)
                scores = self.discriminator.scores(found, labels)
            loss = losses.generator_hinge(scores)
            if self.recipe.class_loss:
                logits = self.discriminator.class_logits(found)
                loss = loss + self.recipe.class_loss * losses.classification(logits, labels)
            self._descend(self.optimizers[1], loss)
        self.discriminator.requires_grad_(True)
        return loss.item(), images.detach().std(0).mean().item()

    def _descend(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _latent(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent vectors [batch, z] and uniform classes [batch]. Drawn on the CPU: the same wherever it trains."""
        z = torch.randn(self.recipe.batch, self.generator.z, generator=random)
        labels = torch.randint(len(CLASSES), (self.recipe.batch,), generator=random)
        return z.to(self.device), labels.to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @property
    def served(self) -> Generator:
        """The generator whose images count: the averaged one, as soon as there is one."""
        if self.averaged is None or not self.averaged.n_averaged:
            return self.generator
        averaged = self.averaged.module
        assert isinstance(averaged, Generator)
        return averaged

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: tensors and numbers."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "lecam": self.lecam.averages,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.lecam.averages = state["lecam"]


def bf16_is_fast(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 numbers in hardware: elsewhere they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:  # Linux's names: x86 says avx512_bf16 or amx_bf16, ARM bf16
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)
