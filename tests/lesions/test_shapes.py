"""Images of the source task: deterministic, balanced, visible; classes differ by shape, not by color."""

import numpy as np
import pytest

from lesions.shapes import SHAPES, draw


def test_types_and_balance() -> None:
    images, labels = draw(10 * len(SHAPES) + 3, 32, 1)
    assert images.shape == (10 * len(SHAPES) + 3, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    counts = np.bincount(labels, minlength=len(SHAPES))
    assert set(counts.tolist()) == {10, 11}


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second, other = draw(60, 24, 5), draw(60, 24, 5), draw(60, 24, 6)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("pixels", [8, 33, 64])
def test_no_image_is_blank(pixels: int) -> None:
    images, _ = draw(4 * len(SHAPES), pixels, 2)
    assert (images.reshape(len(images), -1).std(axis=1) > 0.5).all()


def test_color_does_not_predict_the_class() -> None:
    images, labels = draw(40 * len(SHAPES), 32, 3)
    means = images.mean(axis=(1, 2))
    centers = np.stack([means[::2][labels[::2] == label].mean(axis=0) for label in range(len(SHAPES))])
    distance = np.linalg.norm(means[1::2, None] - centers[None], axis=2)
    accuracy = (distance.argmin(axis=1) == labels[1::2]).mean()
    assert accuracy < 3 / len(SHAPES), "nearest mean color should be little better than guessing"


def test_none_and_few_images() -> None:
    images, labels = draw(0, 16, 1)
    assert images.shape == (0, 16, 16, 3)
    assert labels.shape == (0,)
    assert len(set(draw(5, 16, 1)[1].tolist())) == 5


@pytest.mark.parametrize(("count", "pixels"), [(-1, 64), (3, 7)])
def test_impossible_requests_are_refused(count: int, pixels: int) -> None:
    with pytest.raises(ValueError, match="at least 8 pixels"):
        draw(count, pixels, 0)
