"""One training step of generator and discriminator."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel

from gan import augment, losses
from gan.critics import CRITICS
from gan.data import FAKE, Images, draw_labels, generator_for
from gan.drawing import from_bytes
from gan.networks import Generator, weights_computed_once
from zoo.kinds.generator import GeneratorRecipe
from zoo.models.averaging import moving_average


class StepMetrics(NamedTuple):
    """Losses and scores of one step; the columns of losses.csv."""

    discriminator: float  # the hinge loss: 2 where real and fake images score alike, 0 where nothing is left to learn
    generator: float  # the whole loss, with that of classification
    real: float  # the mean score of real images
    fake: float  # the mean score of fake images, in the discriminator's step
    lecam: float  # the regularization, before it is multiplied by its weight; 0 without
    spread: float  # the std over the fake images of a batch, mean of all pixels, for values in -1..1


class GANTrainer:
    """Generator and critic with their optimizers and averages, as a recipe configures them.

    `shares` are those of the classes that are asked of the generator (`gan.data.class_shares`). Raises
    `zoo.models.weights.WeightsError` where the critic's frozen weights are not installed.
    """

    def __init__(self, recipe: GeneratorRecipe, device: torch.device, shares: torch.Tensor | None = None) -> None:
        torch.manual_seed(recipe.seed)  # of the initial weights alone
        self.recipe, self.device, self.shares = recipe, device, shares
        own = recipe.class_loss_generator
        self.class_loss_generator = recipe.class_loss if own is None else own
        self.bf16 = bf16_is_fast(device)
        self.generator = Generator(recipe.pixels, recipe.width).to(device)
        self.critic = CRITICS[recipe.critic](recipe).to(device)
        self.critic_parameters = [tensor for tensor in self.critic.parameters() if tensor.requires_grad]
        self.averaged: AveragedModel | None = None
        if recipe.ema is not None:
            self.averaged = AveragedModel(self.generator, multi_avg_fn=moving_average(recipe.ema))
        self.optimizers = [
            torch.optim.Adam(parameters, rate, recipe.betas, recipe.epsilon, foreach=True)
            for parameters, rate in (
                (self.critic_parameters, recipe.learning_rate_discriminator),
                (list(self.generator.parameters()), recipe.learning_rate_generator),
            )
        ]
        self.lecam = losses.LeCam()

    def step(self, number: int, batch: Images) -> StepMetrics:
        """Update the critic, then the generator; `number` counts steps from 0, `batch` are real images."""
        random = generator_for(self.recipe.seed, FAKE, number)
        real, fake, lecam = self._update_critic(number, batch, random)
        generator_loss, spread = self._update_generator(random)
        if self.averaged is not None and number >= self.recipe.ema_from:
            self.averaged.update_parameters(self.generator)
        return StepMetrics(
            losses.discriminator_hinge(real, fake).item(),
            generator_loss,
            real.mean().item(),
            fake.mean().item(),
            lecam,
            spread,
        )

    def _update_critic(
        self, number: int, batch: Images, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return the scores of real and of fake images, [n, ...] each, and the regularization."""
        z, fake_labels = self._latent(random)
        with torch.no_grad(), weights_computed_once(self.generator), self._autocast():
            fake_images = self.generator(z, fake_labels).float()
        real_images, real_labels = from_bytes(batch.images.to(self.device)), batch.labels.to(self.device)
        if self.recipe.diffaugment:
            real_images = augment.diffaugment(real_images, self.recipe.diffaugment, random)
            fake_images = augment.diffaugment(fake_images, self.recipe.diffaugment, random)
        with weights_computed_once(self.critic):
            # Side by side: a critic has no batch statistics, so its scores are those of separate passes.
            images, labels = torch.cat([real_images, fake_images]), torch.cat([real_labels, fake_labels])
            with self._autocast():
                features = self.critic.features(images)
                real, fake = self.critic.scores(features, labels).chunk(2)
            loss = losses.discriminator_hinge(real, fake)
            if self.recipe.class_loss:
                logits = self.critic.class_logits(features)[: len(real)]
                loss = loss + self.recipe.class_loss * losses.classification(logits, real_labels)
            lecam = torch.zeros(())
            if self.recipe.lecam:
                self.lecam.update(real, fake, first=number == 0)
                lecam = self.lecam.loss(real, fake)
                loss = loss + self.recipe.lecam * lecam * (number >= self.recipe.lecam_from)
            self._descend(self.optimizers[0], loss)
        return real.detach(), fake.detach(), lecam.item()

    def _update_generator(self, random: torch.Generator) -> tuple[float, float]:
        """Return the loss, and the spread of the fake images."""
        z, labels = self._latent(random, paired=self.recipe.mode_seeking > 0)
        self._train_critic(False)  # gradients only pass through it
        with weights_computed_once(self.generator, self.critic):
            with self._autocast():
                images = self.generator(z, labels).float()
                changes = self.recipe.diffaugment
                augmented = augment.diffaugment(images, changes, random) if changes else images
                features = self.critic.features(augmented)
                scores = self.critic.scores(features, labels)
            loss = losses.generator_hinge(scores)
            if self.class_loss_generator:
                logits = self.critic.class_logits(features)
                loss = loss + self.class_loss_generator * losses.classification(logits, labels)
            if self.recipe.mode_seeking:
                loss = loss + self.recipe.mode_seeking * losses.mode_seeking(images, z)
            self._descend(self.optimizers[1], loss)
        self._train_critic(True)
        return loss.item(), images.detach().std(0).mean().item()

    def _train_critic(self, trains: bool) -> None:
        for tensor in self.critic_parameters:
            tensor.requires_grad_(trains)

    def _descend(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _latent(self, random: torch.Generator, paired: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Random latent vectors [batch, z] and classes [batch]: drawn on the CPU, so the same on every device.

        Where they are `paired`, the second half of the batch asks for the classes of the first (`losses.mode_seeking`).
        """
        batch = self.recipe.batch
        z = torch.randn(batch, self.generator.z, generator=random)
        labels = draw_labels(self.shares, batch, random)
        if paired:
            labels[batch // 2 : batch // 2 * 2] = labels[: batch // 2]
        return z.to(self.device), labels.to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @property
    def served_generator(self) -> Generator:
        """The generator to serve: the one with averaged weights, as soon as there is one."""
        if self.averaged is None or not self.averaged.n_averaged:
            return self.generator
        averaged = self.averaged.module
        assert isinstance(averaged, Generator)
        return averaged

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: dictionaries of tensors and numbers."""
        return {
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "lecam": self.lecam.averages,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.lecam.averages = state["lecam"]


def bf16_is_fast(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 numbers in hardware; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:  # Linux names it avx512_bf16 or amx_bf16 (x86), or bf16 (ARM)
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
