"""Quality of synthetic images: their distance to validation images in the features of a frozen backbone.

The features are not Inception's, so the Fréchet distance is no FID, and is not called so. Each measure is compared with
its floor: the same measure of real training images in place of synthetic ones.
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
from gan.data import FLOOR, Images, generator_for
from gan.drawing import draw
from gan.features import Features, resize
from gan.gan_train import IMAGES_PER_CLASS, gan_train
from gan.networks import Generator
from lesions.index import DataError
from lesions.labels import CLASSES
from zoo.models.predictor import Predictor

NEIGHBORS = 5  # the k of precision, recall, density and coverage, as in StudioGAN
PICTURES = 8  # images of each class in the picture of nearest neighbors


class Quality(BaseModel):
    """The quality of a set of images."""

    model_config = ConfigDict(frozen=True)

    kid: float
    """The kernel distance, mean of classes (unbiased, so it can be below 0)."""
    kid_by_class: dict[str, float | None]
    """None where validation has a single image of the class."""
    frechet: float
    """The Fréchet distance of all classes together: of a rare class alone, the covariance would be singular."""
    precision: float  # the share of these images among the neighbors of real ones (Kynkäänniemi et al. 2019)
    recall: float  # the share of real images among the neighbors of these
    density: float  # how densely real images surround these (Naeem et al. 2020): about 1 for real images
    coverage: float  # the share of real images with one of these among their neighbors
    gan_train: float
    """The balanced accuracy of a classifier that learned from such images alone (`gan.gan_train`)."""


class QualityEvaluator:
    """Measures images against the features of real training and validation images.

    Raises `DataError` where validation has no two images of a class.
    """

    def __init__(self, features: Features, training: Images, validation: Images, seed: int) -> None:
        self.features, self.training, self.validation, self.seed = features, training, validation, seed
        raw = features(training.images)
        self.mean, self.std = raw.mean(0), raw.std(0).clamp_min(1e-6)
        self.training_features = self._standardize(raw)
        self.validation_features = self._standardize(features(validation.images))
        self.counts = torch.bincount(validation.labels, minlength=len(CLASSES))
        if self.counts.max() < 2:
            raise DataError("validation has a single image of each class: too few to judge a generator by")
        rows = self._training_sample(self.counts)
        taught = self._training_sample(torch.full_like(self.counts, IMAGES_PER_CLASS))
        self.floor = self._measure(
            Images(self.training_features[rows], training.labels[rows]),
            Images(self.training_features[taught], training.labels[taught]),
        )

    def _standardize(self, features: torch.Tensor) -> torch.Tensor:
        """Scale features [n, d] to mean 0 and std 1 over training images, then each image's to a length of sqrt(d).

        So no feature and no single image dominates: a class may have only nine validation images, and the kernel of KID
        is cubic. With this length the mean square of a feature is 1.
        """
        directions: torch.Tensor = F.normalize((features - self.mean) / self.std)
        return directions * math.sqrt(features.shape[1])

    def draw(self, generator: Generator, counts: torch.Tensor | None = None) -> Images:
        """Draw `counts` images of each class, else as many as validation has; always of the same latent vectors."""
        labels = torch.arange(len(CLASSES)).repeat_interleave(self.counts if counts is None else counts)
        return Images(torch.cat(list(draw(generator, labels, self.seed))), labels)

    def measure(self, generator: Generator) -> Quality:
        """The quality of images that `generator` (a snapshot) draws."""
        sets = (self.draw(generator), self.draw(generator, torch.full_like(self.counts, IMAGES_PER_CLASS)))
        as_many, taught = (Images(self._standardize(self.features(images)), labels) for images, labels in sets)
        return self._measure(as_many, taught)

    def distance_to_training(self, generator: Generator, picture: Path) -> dict[str, float | None]:
        """Look for copies of training images: write `picture`, and return a ratio of distances for each class.

        The ratio is the median distance of synthetic images to the nearest training image of their class, over that of
        validation images: well below 1 means copies. The picture has two rows for each class: synthetic images, and
        below each its nearest training image. None where validation images are copies of training images themselves.
        """
        synthetic = self.draw(generator)
        features = self._standardize(self.features(synthetic.images))
        ratios: dict[str, float | None] = {}
        rows = []
        for label, name in enumerate(CLASSES):
            training = torch.nonzero(self.training.labels == label).flatten()
            of_class = synthetic.labels == label
            distances = pairwise_distances(features[of_class], self.training_features[training])
            validation_features = self.validation_features[self.validation.labels == label]
            reference = np.median(pairwise_distances(validation_features, self.training_features[training]).min(1))
            ratios[name] = round(float(np.median(distances.min(1)) / reference), 4) if reference > 0 else None
            nearest = training[torch.from_numpy(distances.argmin(1))]
            rows += [_row(synthetic.images[of_class]), _row(self.training.images[nearest[:PICTURES]])]
        canvas.write_png(picture, canvas.grid(torch.cat(rows), PICTURES))
        return ratios

    def _training_sample(self, counts: torch.Tensor) -> torch.Tensor:
        """Indices of random training images: of each class `counts` (or as many as there are)."""
        random = generator_for(self.seed, FLOOR, 0)
        order = torch.randperm(len(self.training.labels), generator=random)
        labels = self.training.labels[order]
        return torch.cat([order[labels == label][:count] for label, count in enumerate(counts.tolist())])

    def _measure(self, as_many: Images, taught: Images) -> Quality:
        """Quality, from features of images: `as_many` as validation has, and those that a classifier is `taught` by."""
        features, labels = as_many
        real = self.validation_features
        kids = {
            name: _kid(real[self.validation.labels == label], features[labels == label])
            for label, name in enumerate(CLASSES)
        }
        kid = float(np.nanmean(list(kids.values())))
        measures = {"kid": kid, "frechet": _frechet(real, features), **_neighborhoods(real, features)}
        measures["gan_train"] = gan_train(*taught, real, self.validation.labels)
        # Six digits: the digits after them depend on the number of threads.
        kids, measures = ({key: round(x, 6) for key, x in table.items()} for table in (kids, measures))
        return Quality(kid_by_class={name: _finite(value) for name, value in kids.items()}, **measures)


def _finite(value: float) -> float | None:
    """`value`, or none where it is not finite: JSON has no nan."""
    return value if math.isfinite(value) else None


class _PrecomputedFeatures(torch.nn.Identity):
    """The network that torchmetrics asks for, where its input is features already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features


def _frechet(real: torch.Tensor, synthetic: torch.Tensor) -> float:
    metric = FrechetInceptionDistance(feature=_PrecomputedFeatures(real.shape[1]))
    metric.update(real, real=True)
    metric.update(synthetic, real=False)
    return float(metric.compute())


def _kid(real: torch.Tensor, synthetic: torch.Tensor) -> float:
    """The KID of one subset, as large as can be; nan where there is a single image."""
    size = min(len(real), len(synthetic))
    if size < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of the memory for all features; they are few
        metric = KernelInceptionDistance(feature=_PrecomputedFeatures(real.shape[1]), subsets=1, subset_size=size)
    metric.update(real.double(), real=True)
    metric.update(synthetic.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(metric.compute()[0])


def _neighborhoods(real: torch.Tensor, synthetic: torch.Tensor) -> dict[str, float]:
    """Precision, recall, density and coverage, after Naeem et al. 2020, with a radius of `NEIGHBORS` neighbors."""
    k = min(NEIGHBORS, len(real) - 1, len(synthetic) - 1)
    real_radii = np.sort(pairwise_distances(real), axis=1)[:, k]  # the 0th is the image itself
    synthetic_radii = np.sort(pairwise_distances(synthetic), axis=1)[:, k]
    distances = pairwise_distances(real, synthetic)
    inside = distances < real_radii[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((distances < synthetic_radii[None, :]).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((distances.min(1) < real_radii).mean()),
    }


def _row(images: torch.Tensor) -> torch.Tensor:
    """The first PICTURES of `images` [n, side, side, 3], with white ones where they are fewer."""
    white = images.new_full((PICTURES, *images.shape[1:]), 255)
    return torch.cat([images, white])[:PICTURES]


def recognition(part: Images, classifier: Predictor, pixels: int) -> dict[str, float]:
    """How well a classifier that was trained on real images recognizes the classes of `part` (GAN-test).

    It sees the images at `pixels`. Returns its balanced accuracy, and the recall of each class.
    """
    probabilities, labels = classifier.probabilities(resize(part.images, pixels).numpy()), part.labels.numpy()
    predicted = probabilities.argmax(1)
    recalls = recall_score(labels, predicted, labels=list(range(len(CLASSES))), average=None, zero_division=0)
    return {
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        **dict(zip(CLASSES, map(float, recalls), strict=True)),
    }
