"""What networks are fed."""

import torch

from zoo.models.network import normalize


def test_normalize() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 4, 5, 3)
    output = normalize(images, [0.5, 0.2, 0.0], [0.5, 0.1, 2.0])
    assert output.shape == (2, 3, 4, 5)
    assert output.dtype == torch.float32
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output[0, :, 0, 0], torch.tensor([-1.0, 0.0, 0.5]))
