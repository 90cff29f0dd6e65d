"""The discriminator's shortcut is of its input, and a class adds its logit to a score."""

import torch
from torch.nn.utils import parametrize

from gan.critics.sagan import Discriminator
from gan.networks import Conv


def test_the_shortcut_keeps_negative_values() -> None:
    discriminator = Discriminator(32, 4)
    block = discriminator.blocks[-1]
    x = -torch.rand(1, 8, 8, 8)
    before = x.clone()
    with torch.no_grad():
        for module in (block.conv1, block.conv2):
            assert isinstance(module, Conv)
            parametrize.remove_parametrizations(module, "weight")
            module.weight.zero_()
        torch.testing.assert_close(block(x), before)
    torch.testing.assert_close(x, before)


def test_a_class_adds_its_logit_to_a_score() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(32, 2).eval()
    with torch.no_grad():
        features = discriminator.features(torch.randn(3, 3, 32, 32))
        scores = torch.stack([discriminator.scores(features, torch.full((3,), label)) for label in range(7)], 1)
        logits = discriminator.class_logits(features)
    assert logits.std() > 0
    torch.testing.assert_close(scores - scores[:, :1], logits - logits[:, :1])
