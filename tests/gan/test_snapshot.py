"""A snapshot draws what its tensors draw, has statistics of its own, and leaves the generator as it is."""

import pytest
import torch

from gan.drawing import draw
from gan.networks import Generator
from gan.snapshot import restored, snapshot, tensors


def test_a_snapshot_leaves_the_generator_and_reads_back() -> None:
    torch.manual_seed(0)
    generator = Generator(32, 2)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    random = torch.get_rng_state()
    copy = snapshot(generator, 2, seed=0)
    assert generator.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random), "training draws the same random numbers with and without it"
    weights = tensors(copy)
    assert not torch.equal(weights["norm.running_mean"], before["norm.running_mean"])
    labels = torch.arange(7)
    images, again = (torch.cat(list(draw(drawer, labels, 1))) for drawer in (copy, restored(weights, 32, 2)))
    assert torch.equal(images, again)


def test_statistics_are_of_classes_as_they_are_asked_for() -> None:
    torch.manual_seed(0)
    generator = Generator(32, 2)
    alike, first, last = (
        tensors(snapshot(generator, 2, seed=0, shares=shares))["norm.running_mean"]
        for shares in (None, torch.eye(7)[0], torch.eye(7)[6])
    )
    assert not torch.allclose(first, last)
    assert not torch.allclose(first, alike)


def test_tensors_of_another_network_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        restored(tensors(Generator(32, 4, spectral_norm=False)), 32, 2)
