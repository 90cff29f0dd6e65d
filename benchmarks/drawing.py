"""`python -m benchmarks.drawing`: a generator by onnxruntime against torch, one thread, by batch and size.

An archive's generator is ONNX because of these figures; both draw the same images, up to a level of 255.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from gan.drawing import GeneratorGraph
from gan.networks import Generator, fuse
from tests.networks import GRAPHS
from zoo.models.export import export_generator
from zoo.models.sampler import LATENT, latent
from zoo.models.session import Session

SIZES = ((32, 8), (64, 32), (128, 64))
"""Pixels and width, at scales `demo`, `small` and `paper`."""
BATCHES = (1, 4, 8)
ROUNDS = 9


def main() -> None:
    """Print milliseconds of a batch (median) by each, and the ratio."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for pixels, width in SIZES:
        graph = GeneratorGraph(fuse(Generator(pixels, width, spectral_norm=False)))
        model = export_generator(graph, pixels, width, GRAPHS)
        session = Session(model, {"latents": ("float32", (None, LATENT)), "labels": ("int64", (None,))})
        for batch in BATCHES:
            latents, labels = latent(0, 0, batch), np.arange(batch) % 7
            by_torch, by_onnx = _in_turns(
                partial(_draw, graph, torch.from_numpy(latents), torch.from_numpy(labels)),
                partial(session.run, ["images"], {"latents": latents, "labels": labels}),
            )
            figures = f"torch {by_torch:.1f}, onnxruntime {by_onnx:.1f} ms: {by_torch / by_onnx:.2f} times as fast"
            print(f"{pixels} px, width {width}, batch {batch}: {figures}")


@torch.inference_mode()
def _draw(graph: torch.nn.Module, latents: torch.Tensor, labels: torch.Tensor) -> object:
    return graph(latents, labels)


def _in_turns(*sides: Callable[[], object]) -> list[float]:
    """The median milliseconds of each side; they take turns, so that whatever else goes on hits them alike."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS + 1):
        for spent, side in zip(times, sides, strict=True):
            began = time.perf_counter()
            side()
            spent.append(1000 * (time.perf_counter() - began))
    return [statistics.median(spent[1:]) for spent in times]


if __name__ == "__main__":
    main()
