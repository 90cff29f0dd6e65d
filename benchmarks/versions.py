"""`python -m benchmarks.versions --study NAME`: what each served version costs: a lone request, beside the others'.

The study's server must be running (`make serve`). Versions are asked in turns, one picture after the other, at the
runtime's own port.
"""

import statistics
import time
from typing import Annotated

import typer

from benchmarks.pictures import draw
from compare.client import connect

WARM = 2
"""Rounds that do not count."""


def main(
    study: Annotated[str, typer.Option(help="As `make zoo` named it.")] = "phantom-demo",
    rounds: Annotated[int, typer.Option(help="Pictures that each version is asked.")] = 40,
) -> None:
    """Print each version's milliseconds for a picture (median), and their ratio to the quickest version's."""
    contents = [draw(number) for number in range(8)]
    with connect(study) as zoo:
        spent: dict[str, list[float]] = {version: [] for version in zoo.versions()}
        for number in range(WARM + rounds):
            for version, times in spent.items():
                begun = time.perf_counter()
                zoo.classify(contents[number % len(contents)], version)
                times.append(1000 * (time.perf_counter() - begun))
    medians = {version: statistics.median(times[WARM:]) for version, times in spent.items()}
    for version, median in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{version:32} {median:7.1f} ms   x {median / min(medians.values()):5.1f}")


if __name__ == "__main__":
    typer.run(main)
