"""Augmentation: hand-made cases of flips, turns, scales, shifts and colors; the same seed gives the same images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train import augment as augmentation
from train.augment import LARGEST, SHIFT, SMALLEST, augment, change_colors, matrices


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, side: int = 32) -> torch.Tensor:
    """Smooth pictures, so that moving them by a part of a pixel changes little."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    picture = torch.stack([x, y, x * y], -1) * 200 + 20
    return picture.round().to(torch.uint8).repeat(count, 1, 1, 1)


def test_none_changes_nothing() -> None:
    images = pictures(3)
    assert augment(images, "none", generator()) is images


def test_flips_are_of_all_four_kinds_and_of_nothing_else() -> None:
    [image] = pictures(1)
    kinds = [image, image.flip(0), image.flip(1), image.flip(0).flip(1)]
    found = [next(k for k, kind in enumerate(kinds) if torch.equal(flipped, kind))
             for flipped in augment(pictures(64), "flips", generator())]  # fmt: skip
    assert min(np.bincount(found, minlength=4)) >= 8


def test_each_image_is_changed_by_numbers_of_its_own_and_the_seed_gives_them() -> None:
    first, again, other = (augment(pictures(8), "standard", generator(seed)) for seed in (1, 1, 2))
    assert first.dtype == torch.uint8
    assert first.shape == (8, 32, 32, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) == 8


def test_matrices_flip_turn_scale_and_shift_within_their_ranges() -> None:
    found = matrices(4000, generator()).double()
    linear, shift = found[:, :, :2], found[:, :, 2]
    determinant = torch.det(linear)
    zoom = determinant.abs() ** -0.5
    assert SMALLEST - 1e-4 <= zoom.min() < SMALLEST + 0.01 < LARGEST - 0.01 < zoom.max() <= LARGEST + 1e-4
    assert 0.45 < (determinant < 0).double().mean() < 0.55
    assert 0.19 < shift.abs().max() <= 2 * SHIFT + 1e-6  # of a side that is 2 long
    # Rotations alone: the columns are orthogonal and as long as each other.
    assert (linear[:, :, 0] * linear[:, :, 1]).sum(1).abs().max() < 1e-4
    angles = torch.atan2(linear[:, 1, 0], linear[:, 1, 1])
    assert torch.histc(angles, 8, -torch.pi, torch.pi).min() > 400


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1.0, 0, 0], [0, 1, 0]], lambda image: image),
        ([[-1.0, 0, 0], [0, 1, 0]], lambda image: image.flip(1)),
        ([[0.0, -1, 0], [1, 0, 0]], lambda image: image.rot90(1)),
        # A shift by half the side: what is uncovered is the reflection of what is beside it.
        ([[1.0, 0, 1.0], [0, 1, 0]], lambda image: torch.cat([image[:, 16:], image[:, 16:].flip(1)], 1)),
    ],
    ids=["as it is", "flipped", "a quarter turn", "shifted"],
)
def test_a_known_matrix(matrix: list[list[float]], expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "matrices", lambda count, _: torch.tensor([matrix] * count))
    monkeypatch.setattr(augmentation, "change_colors", lambda images, _: images)
    [image] = pictures(1)
    output = augment(image[None], "standard", generator())[0].int()
    assert (output - expected(image).int()).abs().max() <= 1  # type: ignore[operator]


def test_colors_change_by_their_own_factors() -> None:
    gray = torch.full((500, 3, 4, 4), 0.5)
    changed = change_colors(gray, generator())
    assert torch.equal(changed.amax((2, 3)), changed.amin((2, 3))), "gray has no contrast, and no saturation"
    level = changed[:, :, 0, 0]
    assert 0.40 < level.min() < 0.44 < 0.56 < level.max() < 0.61  # 0.5 x 1.15 x 1.05
    ratio = level[:, 0] / level[:, 1]
    assert 1.06 < ratio.max() < 1.06 * 1.05
    halves = torch.cat([torch.full((500, 3, 4, 2), 0.4), torch.full((500, 3, 4, 2), 0.6)], 3)
    lower, higher = change_colors(halves, generator())[:, :, 0, [0, -1]].mean(1).T
    contrast = (higher - lower) / (higher + lower) / 0.2  # brightness and channels cancel out
    assert 0.85 <= contrast.min() < 0.88 < 1.12 < contrast.max() <= 1.15 + 1e-3


def test_saturation_changes_how_far_colors_are_from_gray(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("BRIGHTNESS", "CONTRAST", "CHANNEL"):
        monkeypatch.setattr(augmentation, other, 0.0)
    red = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1).repeat(500, 1, 1, 1)
    gray = 0.6 * 0.2989 + 0.4 * (0.587 + 0.114)
    factor = (change_colors(red, generator())[:, 0, 0, 0] - gray) / (0.6 - gray)
    assert 0.8 - 1e-3 <= factor.min() < 0.82 < 1.18 < factor.max() <= 1.2 + 1e-3


@given(seed=st.integers(0, 2**31), side=st.integers(1, 40), count=st.integers(1, 5))
def test_any_images_stay_images(seed: int, side: int, count: int) -> None:
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))
    for how in ("flips", "standard"):
        output = augment(images, how, generator(seed))
        assert output.shape == images.shape
        assert output.dtype == torch.uint8
    assert torch.equal(augment(images[:1] * 0, "standard", generator(seed)), images[:1] * 0), "black stays black"
