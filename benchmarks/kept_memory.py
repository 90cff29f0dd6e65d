"""`python -m benchmarks.kept_memory`: what it is worth that glibc keeps freed memory (MALLOC_* in the Makefile).

glibc reads these variables when a process begins, so each round is two processes, one after the other: one with them,
one without. Both train the same network on the same numbers.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.nn.functional import cross_entropy

from lesions.labels import CLASSES
from zoo.models import network


def settings() -> dict[str, str]:
    """The variables that the Makefile exports for glibc."""
    lines = Path(__file__).parents[1].joinpath("Makefile").read_text(encoding="utf-8").splitlines()
    exported = (line.removeprefix("export ").split(" := ") for line in lines if line.startswith("export MALLOC_"))
    return {name: value for name, value in exported}


def train(arch: str, pixels: int, batch: int, steps: int) -> float:
    """Images/s of `steps` steps in this process, after two to warm up."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = network.build(arch).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    images = torch.randn(batch, 3, pixels, pixels).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % len(CLASSES)
    begun = 0.0
    for step in range(-2, steps):
        if step == 0:
            begun = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return batch * steps / (time.perf_counter() - begun)


def main(
    arch: Annotated[str, typer.Option(help="timm's name.")] = "mobilenetv2_100",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 64,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 80,
    steps: Annotated[int, typer.Option(help="Of one process.")] = 10,
    rounds: Annotated[int, typer.Option(help="Of both, in turns.")] = 4,
    once: Annotated[bool, typer.Option(help="Train in this process, and print images/s.")] = False,
) -> None:
    """Print images/s (median, least, most) without and with them, and the ratio of the medians."""
    if once:
        print(train(arch, pixels, batch, steps))
        return
    without = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environments = {"as glibc is": without, "as make has it": without | settings()}
    again = [sys.executable, "-m", "benchmarks.kept_memory", "--once", "--arch", arch]
    again += ["--pixels", str(pixels), "--batch", str(batch), "--steps", str(steps)]
    measured: dict[str, list[float]] = {what: [] for what in environments}
    for _ in range(rounds):
        for what, environment in environments.items():
            ended = subprocess.run(again, env=environment, capture_output=True, text=True, check=True)
            measured[what].append(float(ended.stdout))
    first = statistics.median(measured["as glibc is"])
    for what, values in measured.items():
        middle = statistics.median(values)
        print(f"{what:15} {middle:6.1f} images/s ({min(values):.1f} to {max(values):.1f})  ratio {middle / first:.2f}")


if __name__ == "__main__":
    typer.run(main)
