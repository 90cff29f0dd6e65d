"""What networks are fed, and which of their tensors are the classifier's."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zoo.models import network
from zoo.models.network import normalize
from zoo.models.weights import WeightsError


def test_normalize() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 4, 5, 3)
    output = normalize(images, [0.5, 0.2, 0.0], [0.5, 0.1, 2.0])
    assert output.shape == (2, 3, 4, 5)
    assert output.dtype == torch.float32
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output[0, :, 0, 0], torch.tensor([-1.0, 0.0, 0.5]))


def test_a_network_may_have_two_classifiers(tmp_path: Path) -> None:
    built = network.build("deit_tiny_distilled_patch16_224")
    heads = {name for name in built.state_dict() if name.startswith(network.classifier_prefixes(built))}
    assert heads == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
    file = tmp_path / "w.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in built.state_dict().items() if name not in heads}, file)
    network.load(network.build("deit_tiny_distilled_patch16_224"), file, without_classifier=True)
    with pytest.raises(WeightsError, match="4 missing"):
        network.load(built, file)
