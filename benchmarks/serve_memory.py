"""`python -m benchmarks.serve_memory [STUDY]`: memory of a served study, and the time until it answers, by runtime.

The study is one that `make zoo` has built, with all its archives. `make serve` serves it, on ports of its own, and each
version answers one picture, or draws one. Memory is PSS: pages that processes share count once; the gateway counts.
"""

import subprocess
import time
from typing import Annotated

import typer

from benchmarks.pictures import draw
from gateway import process as gateway
from tests.servers import connect, free_ports, processes
from zoo.kinds.generator import GENERATOR
from zoo.serving.runtime import RUNTIMES, get_runtime
from zoo.study import ROOT, Folders, Study


def main(study: Annotated[str, typer.Argument(help="As `make zoo` named it.")] = Study().name) -> None:
    """Print, for each runtime, seconds of `make serve`, and MiB of all its processes after the first answers."""
    folders, picture = Folders(study).existing(), draw(0)
    archives = len(list(folders.archives.glob("*.mar")))
    if any(get_runtime(runtime).processes(folders.serve.resolve()) for runtime in RUNTIMES):
        raise SystemExit(f"error: {study} is served now: first make stop STUDY={study}")
    for runtime in RUNTIMES:
        port = free_ports()
        began = time.perf_counter()
        _make("serve", f"STUDY={study}", f"RUNTIME={runtime}", f"PORT={port}", f"GATEWAY_PORT={free_ports()}")
        took = time.perf_counter() - began
        try:
            with connect(folders.serve, port, seconds=60) as zoo:
                for version in zoo.versions():
                    zoo.classify(picture, version)
                for version in zoo.versions(GENERATOR.model):
                    zoo.synthesize("mel", 1, 0, version)
            counted = {*processes(folders.serve), *gateway.processes_of(folders.serve)}  # `local` has it within
            memory = sum(process.memory_full_info().pss for process in counted) / 2**20
            print(
                f"{runtime:11} {archives} versions, {len(counted)} processes: {memory:.0f} MiB (PSS); "
                f"`make serve` took {took:.1f} s"
            )
        finally:
            _make("stop", f"STUDY={study}")


def _make(*arguments: str) -> None:
    subprocess.run(["make", "--silent", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    typer.run(main)
