"""DiffAugment passes gradients and is unbiased; turns lose no pixel."""

import torch

from gan import augment
from zoo.kinds.generator import DiffAugmentChange

CHANGES: tuple[DiffAugmentChange, ...] = ("colour", "translation", "cutout")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gradients_pass_through_diffaugment() -> None:
    images = torch.rand(6, 3, 16, 16, requires_grad=True)
    augment.diffaugment(images, CHANGES, random()).square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().amax(1) > 0).all()
    torch.autograd.gradcheck(
        lambda x: augment.diffaugment(x, CHANGES, random(3)),
        torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True),
    )


def test_the_same_randomness_gives_the_same_changes() -> None:
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(augment.diffaugment(images, CHANGES, random(5)), augment.diffaugment(images, CHANGES, random(5)))
    assert not torch.equal(
        augment.diffaugment(images, CHANGES, random(5)), augment.diffaugment(images, CHANGES, random(6))
    )


def test_only_the_requested_changes_are_made() -> None:
    images = torch.rand(3, 3, 16, 16) + 1  # above 0, the gray that comes in with shifts and holes
    assert torch.equal(augment.diffaugment(images, ["colour"], random()), augment.change_colors(images, random()))
    translated = augment.diffaugment(images, ["translation"], random())
    assert set(translated[translated != 0].tolist()) <= set(images.flatten().tolist())
    assert torch.equal(augment.diffaugment(images, ["cutout"], random()), augment.cut_out(images, random()))


def test_changed_colors_are_on_average_the_original_ones() -> None:
    images = torch.rand(1, 3, 4, 4).repeat(20_000, 1, 1, 1)
    mean = augment.change_colors(images, random()).mean(0)
    torch.testing.assert_close(mean, images[0], atol=0.02, rtol=0)


def test_translations_are_uniform_and_at_most_an_eighth() -> None:
    images = torch.zeros(4000, 3, 16, 16)
    images[:, :, 8, 8] = 1
    rows, columns = augment.translate(images, random())[:, 0].nonzero()[:, 1:].T
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}
    assert abs(rows.float().mean() - 8) < 0.1


def test_the_cutout_is_square_and_gray() -> None:
    holes = augment.cut_out(torch.ones(500, 3, 16, 16), random()) == 0
    assert torch.equal(holes[:, 0], holes[:, 2])
    sizes = holes[:, 0].flatten(1).sum(1)
    assert sizes.max() == 8 * 8
    assert sizes.min() >= 4 * 4, "at most three quarters are outside"


def test_turned_images_take_all_eight_positions_and_lose_no_pixel() -> None:
    image = torch.randint(256, (5, 5, 3), dtype=torch.uint8)
    turned = augment.turn(image.repeat(200, 1, 1, 1), random())
    positions = {tuple(turned_image.flatten().tolist()) for turned_image in turned}
    assert len(positions) == 8
    values = image.flatten().sort().values
    assert all(torch.equal(turned_image.flatten().sort().values, values) for turned_image in turned[:20])
    mirrored = augment.mirror(image.repeat(50, 1, 1, 1), random())
    assert {tuple(mirror_image.flatten().tolist()) for mirror_image in mirrored} == {
        tuple(image.flatten().tolist()),
        tuple(image.flip(1).flatten().tolist()),
    }
