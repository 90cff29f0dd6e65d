"""`python -m benchmarks.serve_throughput [--peers]`: images/s and the time of a lone request, by who serves them.

All runtimes serve one version of a network with random weights. Beside them: the same network by torch in a process of
its own, in batches, without a server; and, with `--peers`, LitServe, BentoML and Ray Serve, which serve it by torch as
their docs say (`benchmarks/peers`, installed into a virtual environment of their own). All decode the same JPEGs (600 x
450, as HAM10000's, but drawn here). One serves at a time, each is started anew for each round, and figures are medians
of the rounds.
"""

import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.light_client import LightClient
from benchmarks.peers import run as peers
from benchmarks.peers.model import BATCH, Model, Settings
from benchmarks.pictures import draw
from lesions.labels import CLASSES, NOTICE
from tests.gateway.moody import Mood, moody
from tests.networks import digest, save_model, save_network
from tests.servers import free_ports, start, stop
from tests.servers import pack as pack_archive
from zoo.models.network import build
from zoo.models.predictor import Predictor
from zoo.serving.runtime import RUNTIMES
from zoo.study import ROOT

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
IN_FLIGHT = 16
"""Requests at a time, as in `make compare`."""
LONE = 40
"""Requests one after the other, whose median is the time of a lone request."""
NAMES_OF_PEERS = {peer: f"{peer} (torch)" for peer in peers.KINDS}
"""Ray Serve is a runtime of ours, too, which answers by onnxruntime."""
NONE: Mapping[str, Mood | None] = {}
TOLERANCE = 1e-4
"""The most by which any two may differ."""

Post = Callable[[bytes], NDArray[np.float64]]
"""From a JPEG to probabilities, [7]."""


class Turn(NamedTuple):
    """One pass of one side over all pictures."""

    rate: float
    """Images a second."""
    lone: float
    """Milliseconds of a lone request."""
    rows: NDArray[np.float64]
    """Probabilities, [n, 7]."""


def main(
    images: Annotated[int, typer.Option(help="Of one round.")] = 200,
    rounds: Annotated[int, typer.Option(help="Of each side.")] = 3,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_b0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 224,
    with_peers: Annotated[bool, typer.Option("--peers", help="LitServe, BentoML, Ray Serve, too.")] = False,
) -> None:
    """Print images/s (median, least, most), milliseconds of a lone request, and ratios."""
    drawn = [draw(number) for number in range(24)]
    contents = [drawn[number % len(drawn)] for number in range(images)]
    size = sum(map(len, contents)) / images / 1000
    processors = os.cpu_count()
    print(f"{arch}, {pixels} px, {images} JPEGs of {size:.0f} kB, {rounds} rounds, {processors} processors")
    with tempfile.TemporaryDirectory(prefix="lz-") as name:
        folder = Path(name)
        settings = prepare(folder, arch, pixels)
        _print_forward(settings, folder / "model.onnx")
        turns = {"torch, no server": [_in_process(settings, contents) for _ in range(rounds)]}
        sides: dict[str, Callable[[], contextlib.AbstractContextManager[Post]]] = {
            runtime: partial(serving, folder, runtime) for runtime in RUNTIMES
        }
        if with_peers:
            venv = peers.make_venv(ROOT / ".venv" / "peers")
            sides |= {name: partial(_peer, peer, settings, venv) for peer, name in NAMES_OF_PEERS.items()}
        for _ in range(rounds):
            for side, serve in sides.items():
                with serve() as post:
                    turns.setdefault(side, []).append(take(post, contents))
    _report(turns, list(NAMES_OF_PEERS.values()) if with_peers else [])


def prepare(folder: Path, arch: str, pixels: int, moods: Mapping[str, Mood | None] = NONE) -> Path:
    """Make the network, for torch and as an archive; returns the settings file of `benchmarks.peers.model`.

    There are further archives of the same network, by name, some of which have moods.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build(arch).train()
    with torch.no_grad():  # batch norms that fit, and a steep last layer: else all pictures get much the same answer
        network(torch.randn(16, 3, pixels, pixels))
        network.get_classifier().weight.mul_(5)  # type: ignore[operator]
    weights = save_network(network, folder / "weights.safetensors")
    model = save_model(network, folder / "model.onnx", pixels, MEAN, STD, architecture=arch)
    entry = {
        "entry": "random",
        "study": "benchmark",
        "kind": "classifier",
        "about": "How fast is it served?",
        "notice": NOTICE,
        "data": "phantom",
        "architecture": arch,
        "pixels": pixels,
        "classes": CLASSES,
        "mean": MEAN,
        "deviation": STD,
        "recipe": {},
        "scores": {},
        "model_sha256": digest(model),
        "weights_sha256": digest(weights),
        "split_sha256": "",
        "versions": {},
    }
    pack_archive(entry, model, folder / "store" / "random.mar")
    for name, mood in moods.items():
        own = moody(model, mood, folder / name / "model.onnx") if mood else model
        pack_archive(entry | {"entry": name, "model_sha256": digest(own)}, own, folder / "store" / f"{name}.mar")
    return Settings(arch, str(weights), pixels, MEAN, STD, len(CLASSES)).write(folder / "settings.json")


def _print_forward(settings: Path, model: Path) -> None:
    """The networks alone, without decoding: milliseconds an image, at batches of 1 and more."""
    network = Model(Settings.read(settings))
    predictor = Predictor(model, network.pixels, len(CLASSES))
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, network.pixels, network.pixels, 3), dtype=np.uint8)
    for side, predict in (("torch", network.probabilities), ("onnxruntime", predictor.probabilities)):
        times = []
        for batch in (1, 2, 4, BATCH):
            spent = []
            for _ in range(12):
                began = time.perf_counter()
                predict(pixels[:batch])
                spent.append(1000 * (time.perf_counter() - began) / batch)
            times.append(f"{batch}: {statistics.median(spent[2:]):.2f}")
        print(f"forward by {side}, one thread, ms an image by batch: {', '.join(times)}")


def take(post: Post, contents: Sequence[bytes]) -> Turn:
    """One pass over all pictures: lone requests first, then `IN_FLIGHT` at a time."""
    for content in contents[:IN_FLIGHT]:
        post(content)
    lone = []
    for content in contents[:LONE]:  # first, since BentoML's batches wait the longer, the more there was to do
        began = time.perf_counter()
        post(content)
        lone.append(1000 * (time.perf_counter() - began))
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        began = time.perf_counter()
        rows = list(pool.map(post, contents))
        took = time.perf_counter() - began
    return Turn(len(contents) / took, statistics.median(lone), np.array(rows))


# ---- who serves


@contextlib.contextmanager
def serving(folder: Path, runtime: str, **own: str) -> Iterator[Post]:
    """One of our own, started as `make serve` does; `own` are its settings."""
    serve, port = folder / "serve", free_ports()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            start(folder / "store", serve, port, runtime=runtime, own=own)
        key = json.loads((serve / "key_file.json").read_text())["inference"]["key"]
        url = f"http://127.0.0.1:{port}/predictions/lesion_classifier/random"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
        with LightClient() as client:

            def post(content: bytes) -> NDArray[np.float64]:
                answer = client.post(url, content=content, headers=headers).raise_for_status()
                return np.array(list(answer.json()["probabilities"].values()))

            yield post
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            stop(serve)


@contextlib.contextmanager
def _peer(name: str, settings: Path, venv: Path) -> Iterator[Post]:
    with peers.serving(name, settings, free_ports(), venv) as peer, LightClient() as client:
        yield lambda content: peer.post(client, content)


def _in_process(settings: Path, contents: list[bytes]) -> Turn:
    """Torch in a process of its own, in batches, with the environment of our workers."""
    os.environ |= {name: value for name, value in peers.ENVIRONMENT.items() if name.startswith(("OMP_", "MALLOC_"))}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_by_torch, settings, contents).result()


def _by_torch(settings: Path, contents: list[bytes]) -> Turn:
    model = Model(Settings.read(settings))

    def predict(batch: Sequence[bytes]) -> NDArray[np.float32]:
        return model.probabilities(np.stack([model.decode(content) for content in batch]))

    predict(contents[:BATCH])
    began = time.perf_counter()
    rows = [predict(contents[start : start + BATCH]) for start in range(0, len(contents), BATCH)]
    took = time.perf_counter() - began
    lone = []
    for content in contents[:LONE]:
        began = time.perf_counter()
        predict([content])
        lone.append(1000 * (time.perf_counter() - began))
    return Turn(len(contents) / took, statistics.median(lone), np.concatenate(rows).astype(np.float64))


# ---- the report


def _report(turns: dict[str, list[Turn]], names_of_peers: Sequence[str]) -> None:
    reference, *_ = turns.values()
    for side, taken in turns.items():
        difference = max(float(np.abs(turn.rows - reference[0].rows).max()) for turn in taken)
        if difference > TOLERANCE:
            raise SystemExit(f"error: {side} answers otherwise, by {difference:.2g}: there is nothing to compare")
    rates = {side: statistics.median(turn.rate for turn in taken) for side, taken in turns.items()}
    lones = {side: statistics.median(turn.lone for turn in taken) for side, taken in turns.items()}
    for side, taken in turns.items():
        extremes = f"({min(turn.rate for turn in taken):.1f} to {max(turn.rate for turn in taken):.1f})"
        print(f"{side:17} {rates[side]:6.1f} images/s {extremes:18} lone request {lones[side]:5.1f} ms")
    torch_alone = next(iter(rates))
    print(f"torchserve / {torch_alone}: {rates['torchserve'] / rates[torch_alone]:.2f}")
    print(f"local / torchserve: {rates['local'] / rates['torchserve']:.2f}")
    print(f"ray / local: {rates['ray'] / rates['local']:.2f}")
    print(f"lone request, local / torchserve: {lones['local'] / lones['torchserve']:.2f}")
    for peer in names_of_peers:
        print(f"local / {peer}: {rates['local'] / rates[peer]:.2f}")
    if names_of_peers:
        print(f"local / best peer: {rates['local'] / max(rates[peer] for peer in names_of_peers):.2f}")


if __name__ == "__main__":
    typer.run(main)
