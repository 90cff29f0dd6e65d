"""How good synthetic images are, against held-out validation images, by the features of a frozen backbone.

A Fréchet distance over other features than Inception's is no FID, and is not called so. Beside each measurement stands
the floor: the same of real training images in the place of synthetic ones.
"""

import math
import warnings
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import balanced_accuracy_score, pairwise_distances, recall_score
from torch.nn import functional as F
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from gan import canvas
from gan.data import JUDGE, Images, generator_for
from gan.drawing import draw
from gan.features import Features, resize
from gan.networks import Generator
from lesions.labels import CLASSES
from zoo import recipe
from zoo.models import network

NEIGHBORS = 5
"""The k of precision, recall, density and coverage, as StudioGAN's."""

PICTURES = 8
"""Images of each class in the picture of nearest neighbors."""


class Quality(BaseModel):
    """One measurement."""

    model_config = ConfigDict(frozen=True)

    kid: float
    """The mean over classes of the kernel distance (unbiased, so that it can be below 0): what chooses the best."""
    kid_by_class: dict[str, float]
    frechet: float
    """All classes together: of the rare ones alone, a covariance would be singular."""
    precision: float
    """The share of images that lie where real ones do (Kynkäänniemi et al. 2019)."""
    recall: float
    """The share of real images that lie where these do."""
    density: float
    """How densely real images surround these (Naeem et al. 2020): 1 for real ones."""
    coverage: float
    """The share of real images with one of these nearby."""


class QualityEvaluator:
    """Knows the real images by their features, and measures others against them."""

    def __init__(self, features: Features, training: Images, validation: Images, seed: int) -> None:
        self.features, self.training, self.validation, self.seed = features, training, validation, seed
        known = features(training.images)
        self.mean, self.std = known.mean(0), known.std(0).clamp_min(1e-6)
        self.known = self._standard(known)
        self.held_out = self.seen(validation.images)
        self.counts = torch.bincount(validation.labels, minlength=len(CLASSES))
        self.floor = self._measure(*self._training_sample())

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Uint8 [n, side, side, 3] to standardized features, float32 [n, features]."""
        return self._standard(self.features(images))

    def _standard(self, found: torch.Tensor) -> torch.Tensor:
        """Each feature with mean 0 and std 1 over training images, then each image's at the same length.

        So no feature drowns the others, and no single image the rest: a class has nine validation images at times, and
        the kernel of KID cubes. The length is such that a feature's square is 1 on average.
        """
        directions: torch.Tensor = F.normalize((found - self.mean) / self.std)
        return directions * math.sqrt(found.shape[1])

    def images(self, generator: Generator) -> Images:
        """As many synthetic images of each class as validation has, the same latent vectors every time."""
        labels = torch.arange(len(CLASSES)).repeat_interleave(self.counts)
        return Images(torch.cat(list(draw(generator, labels, self.seed))), labels)

    def measure(self, generator: Generator) -> Quality:
        """The quality of `generator` (a snapshot)."""
        drawn = self.images(generator)
        return self._measure(self.seen(drawn.images), drawn.labels)

    def nearest(self, generator: Generator, picture: Path) -> dict[str, float]:
        """Look for copies of training images: write `picture`, and return a ratio of distances for each class.

        Pairs of rows of the picture: synthetic images of a class, and below each the nearest training image of that
        class. The ratio is the median distance to it over that of validation images: well below 1 means copies.
        """
        drawn = self.images(generator)
        found = self.seen(drawn.images)
        ratios, rows = {}, []
        for label, name in enumerate(CLASSES):
            known = torch.nonzero(self.training.labels == label).flatten()
            mine, real = found[drawn.labels == label], self.held_out[self.validation.labels == label]
            distances = pairwise_distances(mine, self.known[known])
            usual = np.median(pairwise_distances(real, self.known[known]).min(1))
            ratios[name] = round(float(np.median(distances.min(1)) / usual), 4)
            shown = drawn.images[drawn.labels == label][:PICTURES]
            beside = self.training.images[known[torch.from_numpy(distances.argmin(1))[:PICTURES]]]
            rows += [_filled(shown), _filled(beside)]
        canvas.write(picture, canvas.grid(torch.stack(rows)))
        return ratios

    def _training_sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and classes of as many training images of each class as validation has (or as there are)."""
        random = generator_for(self.seed, JUDGE, 0)
        order = torch.randperm(len(self.training.labels), generator=random)
        labels = self.training.labels[order]
        rows = torch.cat([order[labels == label][:count] for label, count in enumerate(self.counts.tolist())])
        return self.known[rows], self.training.labels[rows]

    def _measure(self, found: torch.Tensor, labels: torch.Tensor) -> Quality:
        by_class = {
            name: _kid(self.held_out[self.validation.labels == label], found[labels == label])
            for label, name in enumerate(CLASSES)
        }
        measured = Quality(
            kid=float(np.nanmean(list(by_class.values()))),
            kid_by_class=by_class,
            frechet=_frechet(self.held_out, found),
            **_neighborhoods(self.held_out, found),
        )
        # Six digits: what is behind them differs from one number of threads to another.
        rounded = {key: round(value, 6) for key, value in measured.model_dump(exclude={"kid_by_class"}).items()}
        return Quality(kid_by_class={name: round(value, 6) for name, value in by_class.items()}, **rounded)


class _Known(torch.nn.Identity):
    """For torchmetrics: what it is given are features already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features


def _frechet(real: torch.Tensor, found: torch.Tensor) -> float:
    metric = FrechetInceptionDistance(feature=_Known(real.shape[1]))
    metric.update(real, real=True)
    metric.update(found, real=False)
    return float(metric.compute())


def _kid(real: torch.Tensor, found: torch.Tensor) -> float:
    """One subset of all there are; of a single image there is no distance (nan)."""
    size = min(len(real), len(found))
    if size < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features: it is given few
        metric = KernelInceptionDistance(feature=_Known(real.shape[1]), subsets=1, subset_size=size)
    metric.update(real.double(), real=True)
    metric.update(found.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(metric.compute()[0])


def _neighborhoods(real: torch.Tensor, found: torch.Tensor) -> dict[str, float]:
    """Precision, recall, density and coverage, after Naeem et al. 2020, with `NEIGHBORS` nearest neighbors."""
    k = min(NEIGHBORS, len(real) - 1, len(found) - 1)
    among_real = np.sort(pairwise_distances(real), axis=1)[:, k]  # the 0th is the image itself
    among_found = np.sort(pairwise_distances(found), axis=1)[:, k]
    between = pairwise_distances(real, found)
    inside = between < among_real[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((between < among_found[None, :]).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((between.min(1) < among_real).mean()),
    }


def _filled(images: torch.Tensor) -> torch.Tensor:
    """[PICTURES, side, side, 3], white where `images` are fewer."""
    missing = PICTURES - len(images)
    return torch.cat([images, images.new_full((missing, *images.shape[1:]), 255)])


def recognition(
    part: Images, weights: Path, resolved: recipe.Recipe, scored: dict[str, list[float]]
) -> dict[str, float]:
    """How well a classifier trained on real images names the classes of `part` (GAN-test).

    `weights`, `resolved` and `scored` are a classifier entry's weights.safetensors, recipe.json and scores.json (of
    which "mean" and "deviation" are read). Returns its balanced accuracy, the mean probability of the asked class
    (classes alike), and the recall of each class.
    """
    built = network.build(resolved.architecture)
    network.load(built, weights)
    images = resize(part.images, resolved.pixels)
    blocks = [
        network.probabilities(built, block, scored["mean"], scored["deviation"]) for block in torch.split(images, 64)
    ]
    said, labels = torch.cat(blocks), part.labels.numpy()
    asked = said[torch.arange(len(labels)), part.labels]
    predicted = said.argmax(1).numpy()
    recalls = recall_score(labels, predicted, labels=list(range(len(CLASSES))), average=None, zero_division=0)
    probability = np.mean([float(asked[part.labels == label].mean()) for label in np.unique(labels).tolist()])
    return {
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "probability": float(probability),
        **dict(zip(CLASSES, map(float, recalls), strict=True)),
    }
