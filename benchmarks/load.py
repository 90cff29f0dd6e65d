"""`python -m benchmarks.load`: latency of one machine at four loads, as measured and as simulated.

A server of the runtime `local` with the gateway serves one version of a network with random weights. It has the first
processor to itself, and the client the last one. For each load: what a picture takes of a worker, in the server's own
code without a server; what the server can answer, 8 requests at a time; the median latency of a lone request; then
requests that come by chance (Poisson). The simulation (`benchmarks.queueing`) knows the first three, and when which
request is sent; it predicts the latencies.

Where other processes are at work, too: `chrt -r 1 .venv/bin/python -m benchmarks.load` goes before them.
"""

import contextlib
import io
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.front import serving
from benchmarks.light_client import LightClient
from benchmarks.pictures import draw
from benchmarks.queueing import Machine, poisson, simulate
from benchmarks.serve_throughput import prepare
from gateway.context import AT_ONCE, WAITING
from zoo.models.session import read_archive
from zoo.serving.classifier import ClassifierService
from zoo.serving.runtime import LOOPBACK
from zoo.serving.service import Call

LOADS = (0.3, 0.5, 0.7, 0.8)
"""Of what the server can answer."""
IN_FLIGHT = 8
PAUSE = 0.02
"""Seconds between lone requests: right after another one, what it needs would still be in the processor's caches."""
REPEATS = 8
"""How often the work of each picture is measured."""
PERCENTILES = (50, 99)

Send = Callable[[bytes], float]
"""Send a picture; returns when the answer is there (`time.perf_counter`), or nan for a 503."""


class Offered(NamedTuple):
    """The requests of one load, and how they ended."""

    share: float
    arrivals: NDArray[np.float64]
    """Seconds, [n]."""
    drawn: NDArray[np.int64]
    """The picture of each, [n]."""
    latencies: NDArray[np.float64]
    """Seconds, [n]; nan for a 503."""


class Calibration(NamedTuple):
    """What the simulation knows of the server. Times are in seconds."""

    services: NDArray[np.float64]
    """Of a worker, [repeats, pictures]."""
    capacity: float
    """Answers a second."""
    lone: float
    """The median latency of a request that no other one meets."""

    def machine(self) -> Machine:
        """The machine that answers so many requests, and a lone one so fast."""
        gateway = max(1 / self.capacity - float(self.services.mean()), 0.0)
        network = max(self.lone - float(np.median(self.services)) - gateway, 0.0)
        return Machine(cores=1, workers=1, waiting=AT_ONCE + WAITING - 1, gateway=gateway, network=network)


def main(
    seconds: Annotated[int, typer.Option(help="Of each load, in each round.")] = 20,
    rounds: Annotated[int, typer.Option(help="Of which the medians are reported.")] = 5,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_lite0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Write the figures there, as JSON.")] = None,
) -> None:
    """Print the median and the 99th percentile of latency, in ms, at each load, and simulated / measured."""
    pictures = _pictures()
    print(f"{arch}, {pixels} px; server and client on a processor each; {rounds} rounds of {seconds} s a load")
    rounds_of: list[list[Offered]] = []
    calibrations: list[Calibration] = []
    with tempfile.TemporaryDirectory(prefix="lz-") as name, _processors() as (first, last):
        folder = Path(name)
        prepare(folder, arch, pixels)
        service = ClassifierService(*read_archive(folder / "store" / "random.mar"))
        os.sched_setaffinity(0, {first})
        with _serving(folder) as send:
            for number in range(rounds):
                rng = np.random.default_rng(number)
                rounds_of.append([])
                for share in LOADS:
                    os.sched_setaffinity(0, {first})
                    services = np.array([[_work(service, picture) for picture in pictures] for _ in range(REPEATS)])
                    os.sched_setaffinity(0, {last})
                    calibrations.append(calibration := _calibrate(send, services, pictures))
                    rounds_of[-1].append(_offer(send, share, calibration.capacity, seconds, pictures, rng))
                    _print(number, calibration, rounds_of[-1][-1])
    whole = Calibration(
        np.concatenate([one.services for one in calibrations]),
        statistics.median(one.capacity for one in calibrations),
        statistics.median(one.lone for one in calibrations),
    )
    rng = np.random.default_rng(rounds)
    taken = [[_compare(one, whole, rng) for one in offered] for offered in rounds_of]
    figures = [
        {name: statistics.median(row[at][name] for row in taken) for name in taken[0][at]} for at in range(len(LOADS))
    ]
    for figure in figures:
        print(
            f"load {figure['load']:.0%}, {figure['rate']:.0f} requests/s: "
            + "; ".join(
                f"p{share} {figure[f'measured_p{share}']:.1f} ms, simulated {figure[f'simulated_p{share}']:.1f}, "
                f"ratio {figure[f'ratio_p{share}']:.2f}"
                for share in PERCENTILES
            )
        )
    if out:
        record = {
            "architecture": arch,
            "pixels": pixels,
            "seconds": seconds,
            "rounds": rounds,
            "loads": figures,
            "every_round": taken,
            "capacity": whole.capacity,
            "gateway_ms": 1000 * whole.machine().gateway,
            "elsewhere_ms": 1000 * whole.machine().network,
            "services_ms": np.percentile(1000 * whole.services, range(1, 100)).round(3).tolist(),
        }
        out.write_text(json.dumps(record, indent=1) + "\n")


@contextlib.contextmanager
def _processors() -> Iterator[tuple[int, int]]:
    """The first and the last processor that we may use; afterwards we may use all of them again."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        raise SystemExit("error: the server needs a processor, and the client another one; there is only one")
    try:
        yield min(allowed), max(allowed)
    finally:
        os.sched_setaffinity(0, allowed)


def _pictures() -> list[bytes]:
    """Of five pictures, four as HAM10000's, and one of twice the width and height."""
    drawn = [draw(number) for number in range(20)]
    for number in range(0, 20, 5):
        image, content = Image.open(io.BytesIO(drawn[number])), io.BytesIO()
        image.resize((1200, 900), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
        drawn[number] = content.getvalue()
    return drawn


def _work(service: ClassifierService, picture: bytes) -> float:
    """Seconds of a worker: decode, predict, and write the answer."""
    began = time.perf_counter()
    [answer] = service.answer([Call({"body": picture}, {"content-type": "image/jpeg"})])
    json.dumps(answer.body).encode()
    return time.perf_counter() - began


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[Send]:
    """A server that may use the processors that we may use now."""
    with serving(folder, "local") as (settings, secret), LightClient() as client:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "image/jpeg"}
        url = f"http://{LOOPBACK}:{settings.port}/v1/classify/random"

        def send(picture: bytes) -> float:
            answer = client.post(url, content=picture, headers=headers)
            if answer.status_code == 503:  # the queue is full
                return math.nan
            answer.raise_for_status()
            return time.perf_counter()

        yield send


def _calibrate(send: Send, services: NDArray[np.float64], pictures: Sequence[bytes]) -> Calibration:
    lone = []
    for picture in [*pictures] * 5:
        time.sleep(PAUSE)
        began = time.perf_counter()
        lone.append(send(picture) - began)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(send, pictures))
        began = time.perf_counter()
        answered = len(list(pool.map(send, [*pictures] * 20)))
        took = time.perf_counter() - began
    return Calibration(services, answered / took, statistics.median(lone))


def _offer(
    send: Send, share: float, capacity: float, seconds: float, pictures: Sequence[bytes], rng: np.random.Generator
) -> Offered:
    """Measure one load."""
    rate = share * capacity
    arrivals, drawn = poisson(rate, int(rate * seconds), rng), rng.integers(len(pictures), size=int(rate * seconds))
    return Offered(share, arrivals, drawn, np.array(_measure(send, arrivals, [pictures[number] for number in drawn])))


def _compare(offered: Offered, whole: Calibration, rng: np.random.Generator) -> dict[str, float]:
    """Simulate the same requests, of which each takes one of its picture's measured times."""
    services = whole.services[rng.integers(len(whole.services), size=len(offered.drawn)), offered.drawn]
    simulated = simulate(whole.machine(), offered.arrivals, services)
    figures = {
        "load": offered.share,
        "rate": len(offered.arrivals) / float(offered.arrivals[-1]),
        "measured_refused": float(np.isnan(offered.latencies).mean()),
        "simulated_refused": float(np.isnan(simulated).mean()),
    }
    for percentile in PERCENTILES:
        seen, expected = (1000 * float(np.nanpercentile(one, percentile)) for one in (offered.latencies, simulated))
        figures |= {f"measured_p{percentile}": seen, f"simulated_p{percentile}": expected}
        figures[f"ratio_p{percentile}"] = expected / seen
    return figures


def _measure(send: Send, arrivals: NDArray[np.float64], pictures: Sequence[bytes]) -> list[float]:
    """The latency of each request, which is sent at its time, also if those before it are not answered."""
    begun = time.perf_counter() + 0.2
    with ThreadPoolExecutor(2 * (AT_ONCE + WAITING)) as pool:
        sent = []
        for at, picture in zip(arrivals, pictures, strict=True):
            time.sleep(max(begun + at - time.perf_counter(), 0))
            sent.append(pool.submit(send, picture))
        return [answer.result() - begun - at for answer, at in zip(sent, arrivals, strict=True)]


def _print(number: int, calibration: Calibration, offered: Offered) -> None:
    machine, p99 = calibration.machine(), 1000 * float(np.nanpercentile(offered.latencies, 99))
    print(
        f"round {number + 1}: at most {calibration.capacity:.0f}/s; "
        f"a worker {1000 * calibration.services.mean():.2f} ms, the event loop {1000 * machine.gateway:.2f}, "
        f"elsewhere {1000 * machine.network:.2f}; load {offered.share:.0%}: p99 {p99:.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(main)
