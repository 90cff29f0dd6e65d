"""The moving average of a network's weights in training."""

from collections.abc import Callable

import torch

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """How `AveragedModel` averages in new parameters: with a `decay` that is smaller at first, as in TensorFlow."""

    @torch.no_grad()
    def update(averages: Tensors, parameters: Tensors, updates: torch.Tensor | int) -> None:
        number = int(updates)
        torch._foreach_lerp_(averages, parameters, 1 - min(decay, (1 + number) / (10 + number)))

    return update
