"""`python -m benchmarks.gateway`: what the gateway costs: images/s and a lone request, with it and without it.

Each runtime serves one version of a network with random weights, and is asked in turns by its own port and by the
gateway's, in the same run: so the two differ by the gateway alone. `--experiments` compares lone requests to the
gateway without an experiment and with some, whose shadows crash or take a second, too; also in turns, in the same run.
"""

import contextlib
import io
import itertools
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.front import serving
from benchmarks.light_client import LightClient
from benchmarks.pictures import draw
from benchmarks.serve_throughput import NONE, Post, Turn, prepare, take
from gateway.events.clients import HEADER
from gateway.experiments import files
from tests.gateway.moody import Mood
from zoo.serving.runtime import LOOPBACK, RUNTIMES

TOLERANCE = 1e-6
"""The most by which answers may differ."""
MOODS: dict[str, Mood | None] = {"twin": None, "shadow_crashing": "crash", "shadow_sleeping": "slow"}
"""Further versions of the same network; `random` is the default one, by its name."""
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "two arms": {"arms": {"random": 0.5, "twin": 0.5}},
    "an arm, a shadow": {"arms": {"random": 1.0}, "shadows": ("twin",)},
    "an arm, a shadow that crashes": {"arms": {"random": 1.0}, "shadows": ("shadow_crashing",)},
    "an arm, a shadow that sleeps": {"arms": {"random": 1.0}, "shadows": ("shadow_sleeping",)},
}
CLIENTS, WARM, BLOCK, PAUSE = 1000, 3, 10, 2.0
"""Clients that ask in turn; requests of a block, those that do not count, and the others; seconds until shadows end."""
APART = 0.1
"""Seconds between two requests of a block: shadows wait for a pause, and would not run during a block without any."""
SHADOWS = re.compile(r'^gateway_shadows_total\{outcome="(?:answered|failed)"\} (\S+)$', re.MULTILINE)


def main(
    images: Annotated[int, typer.Option(help="Of one round.")] = 200,
    rounds: Annotated[int, typer.Option(help="Of each side, in turns.")] = 5,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_lite0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 64,
    experiments: Annotated[bool, typer.Option("--experiments", help="What an experiment costs, instead.")] = False,
) -> None:
    """Print images/s and milliseconds of a lone request by each port of each runtime, and their ratios."""
    drawn = [draw(number) for number in range(24)]
    contents = [drawn[number % len(drawn)] for number in range(images)]
    print(f"{arch}, {pixels} px, {images} JPEGs, {rounds} rounds, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="lz-") as name:
        folder = Path(name)
        prepare(folder, arch, pixels, MOODS if experiments else NONE)
        for runtime in RUNTIMES:
            with _serving(folder, runtime) as (direct, through, experiment, shadows):
                if experiments:
                    _compare(runtime, experiment, shadows, folder / runtime, rounds)
                    continue
                taken = [(take(direct, contents), take(through, contents)) for _ in range(rounds)]
            _report(runtime, taken)


@contextlib.contextmanager
def _serving(folder: Path, runtime_name: str) -> Iterator[tuple[Post, Post, Post, Callable[[], int]]]:
    """Calls to the runtime's own port, and to the gateway's; by the third one, a client of an experiment asks.

    The last one gives how often shadows were asked.
    """
    with serving(folder, runtime_name) as (settings, secret), LightClient() as client:
        token = json.loads((settings.folder / "key_file.json").read_text())["inference"]["key"]

        def post(url: str, key: str, content: bytes, **own: str) -> NDArray[np.float64]:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"} | own
            answer = client.post(url, content=content, headers=headers).raise_for_status()
            return np.array(list(answer.json()["probabilities"].values()))

        own = f"http://{LOOPBACK}:{settings.runtime_port}/predictions/lesion_classifier/random"
        default = f"http://{LOOPBACK}:{settings.port}/v1/classify"
        gateway = f"{default}/random"
        number = itertools.count()
        yield (
            lambda content: post(own, token, content),
            lambda content: post(gateway, secret, content),
            lambda content: post(default, secret, content, **{HEADER: f"client{next(number) % CLIENTS}"}),
            lambda: _shadows(f"http://{LOOPBACK}:{settings.port}/metrics", secret),
        )


def _shadows(url: str, secret: str) -> int:
    answer = httpx.get(url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False).raise_for_status()
    return int(sum(float(number) for number in SHADOWS.findall(answer.text)))


def _compare(runtime: str, post: Post, shadows: Callable[[], int], runs: Path, rounds: int) -> None:
    """Print milliseconds of a lone request without an experiment and with each kind, and what that adds.

    `shadows` gives how often these were asked; an experiment with one in which it never was is an error. Each kind's
    requests come in blocks, each after a block without an experiment: a busy machine changes by the second.
    """
    content, folder = _white(), runs / files.FOLDER

    def block() -> float:
        spent = []
        for _ in range(WARM + BLOCK):
            began = time.perf_counter()
            post(content)
            spent.append(1000 * (time.perf_counter() - began))
            time.sleep(APART)
        return statistics.median(spent[WARM:])

    for name, fields in EXPERIMENTS.items():
        pairs, before = [], shadows()
        for _ in range(rounds):
            without = block()
            files.start(folder, files.create(name="running", started=time.time(), **fields))
            pairs.append((block(), without))
            time.sleep(PAUSE if "shadows" in fields else 0)
            files.file_of(folder, "running").unlink()  # what waits for shadows now is dropped
            time.sleep(PAUSE if "shadows" in fields else 0)
        asked = shadows() - before
        if "shadows" in fields and not asked:
            raise SystemExit(f"error: {runtime}, {name}: no shadow was asked, so what it costs was not measured")
        lone, alone = (statistics.median(side) for side in zip(*pairs, strict=True))
        more = statistics.median(one - other for one, other in pairs)
        ratio = statistics.median(one / other for one, other in pairs)
        times = f"{lone:6.2f} ms, without {alone:6.2f} ms: x {ratio:.2f}, {more:+.2f} ms"
        print(f"{runtime:11} {name:30} {times}; {asked} shadows")


def _white() -> bytes:
    """A picture at which moody versions have their moods."""
    content = io.BytesIO()
    Image.new("RGB", (600, 450), "white").save(content, "JPEG", quality=98)
    return content.getvalue()


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
