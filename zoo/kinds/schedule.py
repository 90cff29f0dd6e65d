"""Epoch by epoch: how many images a classifier's training draws, and what its classes are filled up to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.kinds.base import THESIS_TRAINING_IMAGES, RecipeError

if TYPE_CHECKING:
    from zoo.kinds.classifier import Classifier

DEMO_EPOCHS, DEMO_MIN_EPOCHS = 0.2, 3
"""Scale `demo` trains for this share of the epochs, and where each image is drawn once, for so many at least."""
DEMO_IMAGES = 0.5
"""Numbers of images are in proportion to the training images, and then this share of them."""
Stages = Sequence[tuple[int, int]]
"""A number of images, and for how many epochs; several in a row."""


def epoch_schedule(
    entry: "Classifier", real: Sequence[int], pool: Sequence[int] | None, demo: bool
) -> tuple[list[int], list[int]]:
    """For each epoch: the number of images that classes are filled up to (0: none), and the number of images drawn.

    `real` and `pool` are the training and the synthetic images of each class, [7]. Raises `RecipeError` where the pool
    is too small.
    """
    draws: Stages = [(entry.draws, entry.epochs)] if isinstance(entry.draws, int) else entry.draws or []
    stages: tuple[Stages, ...] = (draws, entry.fill_up)
    epochs = entry.epochs
    if demo:
        # Every stage is kept, for one epoch at least; the epochs after the last stage count as one.
        has_rest = [entry.epochs > sum(n for _, n in of_option) for of_option in stages]
        stages = tuple(
            [(_in_proportion(images, sum(real)), max(1, round(n * DEMO_EPOCHS))) for images, n in of_option]
            for of_option in stages
        )
        shortest = [sum(n for _, n in of_option) + rest for of_option, rest in zip(stages, has_rest, strict=True)]
        least = 1 if draws or not entry.real else DEMO_MIN_EPOCHS
        epochs = max(least, round(epochs * DEMO_EPOCHS), *shortest)
        stages = tuple(
            of_option if rest else _extend_last(of_option, epochs)
            for of_option, rest in zip(stages, has_rest, strict=True)
        )
    draws_by_epoch, fill_up = (_by_epoch(of_option, epochs) for of_option in stages)
    return fill_up, [
        images or _available_images(entry, real, target, pool)
        for images, target in zip(draws_by_epoch, fill_up, strict=True)
    ]


def _available_images(entry: "Classifier", real: Sequence[int], target: int, pool: Sequence[int] | None) -> int:
    """The images that an epoch has to train on when its classes are filled up to `target`."""
    if not entry.real:
        return sum(pool or ())
    if target and pool and max(target - have - more for have, more in zip(real, pool, strict=True)) > 0:
        raise RecipeError(f"classes filled up to {target} images: the pool of {entry.generator} is too small for it")
    return sum(max(have, target) for have in real)


def _by_epoch(stages: Stages, epochs: int) -> list[int]:
    """The number of images in each epoch, 0 after the last stage."""
    images = [images for images, n in stages for _ in range(n)]
    return images + [0] * (epochs - len(images))


def _extend_last(stages: Stages, epochs: int) -> Stages:
    """The stages, the last one so long that they fill all epochs."""
    return [*stages[:-1], (stages[-1][0], epochs - sum(n for _, n in stages[:-1]))] if stages else stages


def _in_proportion(images: int, training_images: int) -> int:
    return max(1, round(DEMO_IMAGES * images * training_images / THESIS_TRAINING_IMAGES))
