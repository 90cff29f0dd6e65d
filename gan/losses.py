"""What the two networks strive for: the hinge loss, telling classes, LeCam's regularization of the discriminator."""

import torch
from torch.nn import functional as F


def discriminator_hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Scores [n] of real and fake images to a loss: real ones above 1 and fake ones below -1 cost nothing."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake: torch.Tensor) -> torch.Tensor:
    """Scores [n] of fake images to a loss: the higher they score, the better."""
    return -fake.mean()


def classification(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Logits [n, classes] of images and the classes [n] they are of, or were asked for: cross entropy.

    Of real images for the discriminator, of fake ones for the generator (AC-GAN, Odena et al. 2017; beside a projection
    discriminator, whose class embeddings are the classifier: Han et al. 2021, "Dual Projection GANs").
    """
    return F.cross_entropy(logits, labels)


class LeCam:
    """Holds the scores near the moving average of the other side's (Tseng et al. 2021), against overfitting.

    `averages` are of the mean scores of real and of fake images, float32 [2].
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay
        self.averages = torch.zeros(2)

    def update(self, real: torch.Tensor, fake: torch.Tensor, follow: bool) -> None:
        """Take in a step's scores; with `follow` they replace the averages, until regularization begins."""
        now = torch.stack([real.detach().mean(), fake.detach().mean()]).float().cpu()
        self.averages = now if follow else torch.lerp(now, self.averages, self.decay)

    def loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The regularization of scores [n]; to be multiplied by its strength."""
        average_real, average_fake = self.averages.tolist()
        return F.relu(real - average_fake).square().mean() + F.relu(average_real - fake).square().mean()
