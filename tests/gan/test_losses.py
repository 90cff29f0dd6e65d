"""The losses, on numbers that can be checked by hand."""

import pytest
import torch

from gan.losses import LeCam, classification, discriminator_hinge, generator_hinge, mode_seeking


def test_hinge() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0])
    assert discriminator_hinge(real, fake).item() == pytest.approx((0 + 1) / 2 + (0 + 2) / 2)
    assert generator_hinge(fake).item() == pytest.approx(1)


def test_classification_is_minus_the_logarithm_of_the_class_probability() -> None:
    logits = torch.tensor([[0.0, 0.0], [torch.log(torch.tensor(3.0)), 0.0]])
    expected = (torch.log(torch.tensor(2.0)) + torch.log(torch.tensor(4 / 3))) / 2
    assert classification(logits, torch.tensor([1, 0])).item() == pytest.approx(expected.item())


def test_lecam_averages_scores_and_pulls_them_towards_the_other_side() -> None:
    lecam = LeCam(decay=0.99)
    lecam.update(torch.tensor([1.0, 3.0]), torch.tensor([-2.0]), first=True)
    assert lecam.averages.tolist() == [2, -2]
    lecam.update(torch.tensor([12.0]), torch.tensor([-2.0]), first=False)
    assert lecam.averages.tolist() == pytest.approx([2.1, -2])
    real = torch.tensor([1.0], requires_grad=True)
    fake = torch.tensor([0.0], requires_grad=True)
    loss = lecam.loss(real, fake)
    assert loss.item() == pytest.approx(3**2 + 2.1**2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() > 0 > fake.grad.item(), "gradient descent brings the two sides together"


def test_classification_of_several_heads_is_the_mean_of_theirs() -> None:
    logits, labels = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    by_head = [classification(logits[:, head], labels) for head in range(3)]
    torch.testing.assert_close(classification(logits, labels), torch.stack(by_head).mean())


def test_mode_seeking_is_large_where_images_are_alike() -> None:
    latents = torch.tensor([[0.0, 0.0], [5.0, 5.0], [1.0, 3.0], [0.0, 0.0]])  # pairs: 0 and 2, 1 and 3
    images = torch.tensor([0.0, 0.0, 4.0, 10.0])[:, None, None, None].expand(4, 3, 2, 2)
    assert mode_seeking(images, latents).item() == pytest.approx((2 / 4 + 5 / 10) / 2, rel=1e-4)
    assert mode_seeking(images[:3], latents[:3]).item() == pytest.approx(5 / 1e-5, rel=1e-4), "the third has no partner"
