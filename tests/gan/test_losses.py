"""The losses, on numbers that can be checked by hand."""

import pytest
import torch

from gan.losses import LeCam, classification, discriminator_hinge, generator_hinge


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
