"""GAN-train: features that tell classes apart teach a classifier, others do not."""

import torch

from gan.gan_train import gan_train
from lesions.labels import CLASSES


def features(seed: int, apart: float, count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    centers = torch.randn(len(CLASSES), 20, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(len(CLASSES)).repeat_interleave(count)
    noise = torch.randn(len(labels), 20, generator=torch.Generator().manual_seed(seed))
    return apart * centers[labels] + noise, labels


def test_it_is_high_for_classes_that_are_apart_and_chance_for_others() -> None:
    real = features(0, 3)
    assert gan_train(*features(1, 3), *real) > 0.95
    assert abs(gan_train(*features(1, 0), *real) - 1 / 7) < 0.1
    values, labels = features(1, 3)
    assert gan_train(values, labels.roll(30), *real) < 0.05, "the images of each class under another's name"


def test_a_class_with_more_images_counts_no_more() -> None:
    values, labels = features(1, 1)
    of_one = labels == 0
    more = torch.cat([values, *[values[of_one]] * 20]), torch.cat([labels, *[labels[of_one]] * 20])
    real = features(0, 1)
    assert abs(gan_train(*more, *real) - gan_train(values, labels, *real)) < 0.1
