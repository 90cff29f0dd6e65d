"""Sampling and class weights, as the thesis has them."""

import numpy as np
import pytest
import torch

from train.loss import NotDrawnError, class_weights
from train.sampling import draw, fill_up, seed_of

COUNTS = (233, 353, 767, 79, 758, 4711, 110)
LABELS = np.repeat(np.arange(7), COUNTS)


def test_natural_sampling_sees_each_image_once() -> None:
    order = draw(LABELS, "natural", len(LABELS), 123, 0)
    assert sorted(order.tolist()) == list(range(len(LABELS)))
    assert order.tolist() != sorted(order.tolist())


def test_balanced_sampling_draws_each_class_equally_often() -> None:
    order = draw(LABELS, "balanced", 35000, 123, 0)
    drawn = np.bincount(LABELS[order])
    assert len(order) == 35000
    # 5000 a class expected, standard deviation 65.
    assert np.abs(drawn - 5000).max() < 5 * 65
    assert len(np.unique(order)) < len(LABELS), "drawn with replacement"


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_the_order_is_a_function_of_seed_and_epoch(sampling: str) -> None:
    def drawn(seed: int, epoch: int) -> list[int]:
        torch.rand(3)  # the global generator has no part in it
        return draw(LABELS, sampling, len(LABELS), seed, epoch).tolist()  # type: ignore[arg-type,no-any-return]

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(1, 1)
    assert drawn(1, 0) != drawn(2, 0)


def test_natural_sampling_draws_neither_more_nor_fewer() -> None:
    with pytest.raises(ValueError, match="draws each of 7011 images once, not 35000"):
        draw(LABELS, "natural", 35000, 123, 0)


def test_seeds_do_not_collide() -> None:
    assert len({seed_of(seed, epoch) for seed in range(50) for epoch in range(50)}) == 2500


def test_class_weights_are_balanced_and_divided_by_their_mean() -> None:
    weights = class_weights(LABELS)
    by_hand = np.array([len(LABELS) / (7 * count) for count in COUNTS])
    assert weights.numpy() == pytest.approx(by_hand / by_hand.mean(), rel=1e-6)
    assert weights.mean().item() == pytest.approx(1)


def test_with_balanced_draws_the_weights_are_nearly_one() -> None:
    # The thesis has 0.148 0.144 0.142 0.141 0.140 0.141 0.145 (section 4.7), which times 7 is 1.04 to 0.98.
    weights = class_weights(LABELS[draw(LABELS, "balanced", 35000, 123, 0)])
    assert weights.numpy() == pytest.approx(np.ones(7), abs=0.06)


def test_a_class_that_is_not_drawn_has_no_weight() -> None:
    with pytest.raises(NotDrawnError, match="of df no image is drawn"):
        class_weights(LABELS[LABELS != 3])


SYNTHETIC = np.repeat(np.arange(7), 4714)


def test_classes_are_filled_up_without_replacement_and_full_ones_stay() -> None:
    chosen = fill_up(LABELS, SYNTHETIC, 2000, 123, 0)
    added = np.bincount(SYNTHETIC[chosen], minlength=7)
    assert added.tolist() == [max(0, 2000 - count) for count in COUNTS]
    assert len(np.unique(chosen)) == len(chosen)


def test_each_stage_draws_anew_and_always_the_same() -> None:
    one, again, other = (fill_up(LABELS, SYNTHETIC, 1000, 123, stage).tolist() for stage in (0, 0, 1))
    assert one == again
    assert one != other
