"""`python -m benchmarks.gateway`: what the gateway costs: images/s and a lone request, with it and without it.

Each runtime serves one version of a network with random weights, and is asked in turns by its own port and by the
gateway's, in the same run: so the two differ by the gateway alone.
"""

import contextlib
import io
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.light_client import LightClient
from benchmarks.pictures import draw
from benchmarks.serve_throughput import Post, Turn, prepare, take
from gateway import start
from gateway.keys import SCOPES, Keys
from gateway.settings import Settings
from tests.servers import free_ports
from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK, RUNTIMES, get_runtime

TOLERANCE = 1e-6
"""The most by which answers may differ."""


def main(
    images: Annotated[int, typer.Option(help="Of one round.")] = 200,
    rounds: Annotated[int, typer.Option(help="Of each side, in turns.")] = 5,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_lite0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 64,
) -> None:
    """Print images/s and milliseconds of a lone request by each port of each runtime, and their ratios."""
    drawn = [draw(number) for number in range(24)]
    contents = [drawn[number % len(drawn)] for number in range(images)]
    print(f"{arch}, {pixels} px, {images} JPEGs, {rounds} rounds, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="lz-") as name:
        folder = Path(name)
        prepare(folder, arch, pixels)
        for runtime in RUNTIMES:
            with _serving(folder, runtime) as (direct, through):
                taken = [(take(direct, contents), take(through, contents)) for _ in range(rounds)]
            _report(runtime, taken)


@contextlib.contextmanager
def _serving(folder: Path, runtime_name: str) -> Iterator[tuple[Post, Post]]:
    """Calls to the runtime's own port, and to the gateway's."""
    serve, keys, port = folder / f"serve-{runtime_name}", folder / "keys.json", free_ports()
    secret = Keys(keys).add(runtime_name, SCOPES, "100000/second")
    settings = Settings(
        host=LOOPBACK,
        port=port + 20,
        runtime_port=port,
        folder=serve,
        archives=folder / "store",
        keys=keys,
        max_request_bytes=limits().max_request_bytes,
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            start.serve(get_runtime(runtime_name), settings, LOOPBACK, limits())
        token = json.loads((serve / "key_file.json").read_text())["inference"]["key"]
        with LightClient() as client:

            def post(url: str, key: str, content: bytes) -> NDArray[np.float64]:
                headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"}
                answer = client.post(url, content=content, headers=headers).raise_for_status()
                return np.array(list(answer.json()["probabilities"].values()))

            own = f"http://{LOOPBACK}:{port}/predictions/lesion_classifier/random"
            gateway = f"http://{LOOPBACK}:{settings.port}/v1/classify/random"
            yield lambda content: post(own, token, content), lambda content: post(gateway, secret, content)
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            start.stop(serve)


def _report(runtime: str, taken: list[tuple[Turn, Turn]]) -> None:
    if (difference := max(float(np.abs(own.rows - through.rows).max()) for own, through in taken)) > TOLERANCE:
        raise SystemExit(f"error: through the gateway, {runtime} answers otherwise, by {difference:.2g}")
    for name, turns in zip(("own port", "gateway"), zip(*taken, strict=True), strict=True):
        rate, lone = (statistics.median(values) for values in ((t.rate for t in turns), (t.lone for t in turns)))
        print(f"{runtime:11} {name:9} {rate:6.1f} images/s   lone request {lone:5.1f} ms")
    ratio = statistics.median(through.rate / own.rate for own, through in taken)
    more = statistics.median(through.lone - own.lone for own, through in taken)
    print(f"{runtime}: gateway / own port: {ratio:.2f} of images/s; {more:+.1f} ms for a lone request")


if __name__ == "__main__":
    typer.run(main)
