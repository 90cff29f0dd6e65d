"""`python -m benchmarks.ray_replicas`: images/s of `RUNTIME=ray` with one and with two replicas of a version.

Beside them `local`, with as many threads as there are processors. One serves at a time, each is started anew for each
round, all answer the same JPEGs (600 x 450) with the same network, and figures are medians of the rounds. Memory is
PSS: pages that processes share count once.
"""

import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer

from benchmarks.pictures import draw
from benchmarks.serve_throughput import TOLERANCE, Turn, prepare, serving, take
from tests.servers import processes

SIDES: dict[str, tuple[str, dict[str, str]]] = {
    "local": ("local", {}),
    "ray, 1 replica": ("ray", {"replicas": "1"}),
    "ray, 2 replicas": ("ray", {"replicas": "2"}),
}


def main(
    images: Annotated[int, typer.Option(help="Of one round.")] = 300,
    rounds: Annotated[int, typer.Option(help="Of each side.")] = 3,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_b0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 224,
) -> None:
    """Print images/s (median, least, most), milliseconds of a lone request, memory, and ratios."""
    drawn = [draw(number) for number in range(24)]
    contents = [drawn[number % len(drawn)] for number in range(images)]
    print(f"{arch}, {pixels} px, {images} JPEGs, {rounds} rounds, {os.cpu_count()} processors")
    turns: dict[str, list[Turn]] = defaultdict(list)
    memory: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="lz-") as name:
        folder = Path(name)
        prepare(folder, arch, pixels)
        for _ in range(rounds):
            for side, (runtime, own) in SIDES.items():
                with serving(folder, runtime, **own) as post:
                    turns[side].append(take(post, contents))
                    memory[side] = _memory(processes(folder / "serve"))
    _report(turns, memory)


def _memory(counted: list[psutil.Process]) -> dict[str, float]:
    """MiB of the server, of each replica, and of Ray's other processes."""
    sizes: dict[str, float] = defaultdict(float)
    replicas = 0
    for number, process in enumerate(counted):
        command = " ".join(process.cmdline())
        replicas += "ServeReplica" in command
        kind = "a replica" if "ServeReplica" in command else "Ray" if number else "the server"
        sizes[kind] += process.memory_full_info().pss / 2**20
    if replicas:
        sizes["a replica"] /= replicas
    return dict(sizes)


def _report(turns: dict[str, list[Turn]], memory: dict[str, dict[str, float]]) -> None:
    reference = turns["local"][0].rows
    rates = {side: statistics.median(turn.rate for turn in taken) for side, taken in turns.items()}
    for side, taken in turns.items():
        difference = max(float(np.abs(turn.rows - reference).max()) for turn in taken)
        if difference > TOLERANCE:
            raise SystemExit(f"error: {side} answers otherwise, by {difference:.2g}: there is nothing to compare")
        lone = statistics.median(turn.lone for turn in taken)
        extremes = f"({min(turn.rate for turn in taken):.1f} to {max(turn.rate for turn in taken):.1f})"
        sizes = ", ".join(f"{kind} {size:.0f}" for kind, size in memory[side].items())
        print(f"{side:15} {rates[side]:6.1f} images/s {extremes:18} lone request {lone:5.1f} ms  MiB: {sizes}")
    one, two = rates["ray, 1 replica"], rates["ray, 2 replicas"]
    print(f"two replicas / one: {two / one:.2f}; two replicas / local: {two / rates['local']:.2f}")


if __name__ == "__main__":
    typer.run(main)
