"""Losses: the hinge losses of both networks, classification, mode seeking, and LeCam's regularization."""

import torch
from torch.nn import functional as F


def discriminator_hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The discriminator's hinge loss of scores [n, ...]: 0 for real images above 1 and fake images below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake: torch.Tensor) -> torch.Tensor:
    """The generator's hinge loss: minus the mean of its images' scores [n, ...]."""
    return -fake.mean()


def classification(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The cross entropy of logits [n, ..., classes] and classes int64 [n].

    The discriminator minimizes that of real images, the generator that of fake ones and the classes they were drawn
    for (AC-GAN, Odena et al. 2017; with a projection discriminator, whose class embeddings are the classifier: Han et
    al. 2021, "Dual Projection GANs").
    """
    by_image = logits.flatten(1, -2) if logits.dim() > 2 else logits[:, None]
    return F.cross_entropy(by_image.flatten(0, 1), labels.repeat_interleave(by_image.shape[1]))


def mode_seeking(images: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """The mean of latent vectors' difference over images' difference, of pairs of one class (Mao et al. 2019).

    Images [n, ...] and their latent vectors [n, z]; k and k + n // 2 are a pair. Differences are mean absolute ones. It
    is large where different latent vectors give the same image.
    """
    pairs = len(images) // 2
    of_images, of_latents = ((x[:pairs] - x[pairs : 2 * pairs]).abs().flatten(1).mean(1) for x in (images, latents))
    return (of_latents / (of_images + 1e-5)).mean()


class LeCam:
    """A regularization against overfitting, which keeps scores near the other side's average (Tseng et al. 2021).

    `averages`, float32 [2], are moving averages of the mean scores of real and of fake images.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay
        self.averages = torch.zeros(2)

    def update(self, real: torch.Tensor, fake: torch.Tensor, first: bool) -> None:
        """Average in the scores [n] of a step; the scores of the `first` step are the first averages."""
        means = torch.stack([real.detach().mean(), fake.detach().mean()]).float().cpu()
        self.averages = means if first else torch.lerp(means, self.averages, self.decay)

    def loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The regularization of scores [n], before it is multiplied by its weight."""
        average_real, average_fake = self.averages.tolist()
        return F.relu(real - average_fake).square().mean() + F.relu(average_real - fake).square().mean()
