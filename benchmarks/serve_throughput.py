"""`python -m benchmarks.serve_throughput`: images/s through REST, against the same handler called in process.

The served side is what `make compare` does: `compare.evaluate.collect` asks a real TorchServe, started by our own code.
The other side calls the archive's handler on batches of the archive's size, in a process of its own; both have one
thread, and decode the same JPEGs (600 x 450, as HAM10000's, but drawn here). They take turns, so that whatever else the
machine does hits them alike; the ratio is of medians. With `--versions 2` two versions are asked at once, and two
processes stand against them: on two processors, client and Java then cost what the workers could have had.
"""

import contextlib
import hashlib
import io
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import psutil
import torch
import typer
from numpy.typing import NDArray
from PIL import Image

from compare import answers
from compare.collect import collect, describe_all
from compare.labeled import LabeledImages
from compare.references import TOLERANCE
from lesions.index import Index
from lesions.labels import CLASSES, NOTICE
from lesions.phantom.patch import Traits, patch
from lesions.phantom.views import view
from lesions.sources.folders import ImageFiles
from tests.networks import save_network
from tests.servers import connect, free_ports, pack, start, stop
from zoo.kinds import KINDS
from zoo.serving.http import ServerError
from zoo.serving.torchserve.process import read_state

WANTED = 0.85
"""What the ratio should be at least."""

BATCH = KINDS["classifier"].batch

DIFFERENT = 24
"""Pictures that are drawn; they come again and again under other names."""


class Pictures(ImageFiles):
    """`count` pictures in memory, in the way of `Ham10000`."""

    def __init__(self, count: int) -> None:
        drawn = [_draw(number) for number in range(min(count, DIFFERENT))]
        names = tuple(f"picture{number:05}" for number in range(count))
        self.index = Index(names, np.arange(count, dtype=np.int64) % len(CLASSES), names)
        self._files = {name: drawn[number % len(drawn)] for number, name in enumerate(names)}

    def read(self, image: str) -> bytes:
        """The bytes of a picture."""
        return self._files[image]

    def where(self, image: str) -> str:
        """Where it is, for a message."""
        return f"{image}, drawn for this benchmark"


class Turn(NamedTuple):
    """One pass of one side over all pictures."""

    seconds: float
    processor: dict[str, float]
    """Processor seconds, by who spent them."""
    probabilities: NDArray[np.float64]
    """Probabilities [versions, n, 7]."""


def main(
    images: Annotated[int, typer.Option(help="Of one round, for each version.")] = 400,
    rounds: Annotated[int, typer.Option(help="Of each side, after one to warm up.")] = 5,
    versions: Annotated[int, typer.Option(help="Served side by side, and asked at once.")] = 1,
    arch: Annotated[str, typer.Option(help="timm's name.")] = "tf_efficientnet_b0",
    pixels: Annotated[int, typer.Option(help="Image size.")] = 224,
) -> None:
    """Print images/s of each side (median, least, most), who spent the processors' time, and the ratio."""
    pictures = Pictures(images)
    size = sum(len(pictures.read(image)) for image in pictures.index.images) / images / 1000
    print(
        f"{arch}, {pixels} px, JPEGs of {size:.0f} kB, {versions} version(s) of one thread, batch {BATCH}, "
        f"{rounds} rounds of {images} images each, {os.cpu_count()} processors"
    )
    with tempfile.TemporaryDirectory(prefix="lesion-zoo-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        names = [f"random{number}" for number in range(versions)]
        for seed, version in enumerate(names):
            _archive(folder, version, arch, pixels, seed)
        through_rest = stack.enter_context(_through_rest(folder, names, pictures))
        in_process = stack.enter_context(_in_process(folder, names, pictures))
        sides: dict[str, Callable[[], Turn]] = {"in process": in_process, "through REST": through_rest}
        turns: dict[str, list[Turn]] = {side: [] for side in sides}
        for number in range(rounds + 1):
            for side, take in sides.items():
                turn = take()
                if number:
                    turns[side].append(turn)
    _report(turns, images * versions)


def _report(turns: dict[str, list[Turn]], images: int) -> None:
    bare, rest = turns.values()
    apart = float(np.abs(bare[0].probabilities - rest[0].probabilities).max())
    if apart > TOLERANCE:
        raise SystemExit(f"error: the two sides say different things, by {apart:.2g}: there is nothing to compare")
    medians = []
    for side, taken in turns.items():
        rates = [images / turn.seconds for turn in taken]
        spent = {who: [1000 * turn.processor[who] / images for turn in taken] for who in taken[0].processor}
        medians.append(statistics.median(rates))
        print(
            f"{side:13}{medians[-1]:6.1f} images/s ({min(rates):.1f} to {max(rates):.1f}); processor time an image: "
            + ", ".join(f"{who} {statistics.median(times):.1f} ms" for who, times in spent.items())
        )
    print(f"ratio {medians[1] / medians[0]:.3f} (wanted: at least {WANTED})")


# ---- what is answered about


def _draw(seed: int) -> bytes:
    """A lesion of the phantom's, as large as HAM10000's pictures and with a camera's grain: a JPEG of some 200 kB."""
    rng = np.random.default_rng(seed)
    traits = Traits(
        skin=(0.8, 0.6, 0.55),
        colors=((0.48, 0.32, 0.26), (0.27, 0.19, 0.18)),
        size=0.6,
        elongation=1.2,
        irregularity=0.1,
        asymmetry=0.5,
        softness=0.2,
        opacity=0.8,
        structures={"network": 0.8},
        hair=0.5,
    )
    image = view(traits, patch(traits, rng), rng).resize((600, 450), Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(image) + rng.normal(0, 8, (450, 600, 3)), 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=98)
    return content.getvalue()


def _archive(folder: Path, version: str, arch: str, pixels: int, seed: int) -> None:
    """Pack a network with random weights as `folder`/store/`version`.mar."""
    torch.manual_seed(seed)
    weights = save_network(arch, folder / f"{version}.safetensors")
    entry = {
        "entry": version,
        "study": "benchmark",
        "kind": "classifier",
        "about": "How fast is it served?",
        "notice": NOTICE,
        "data": "phantom",
        "architecture": arch,
        "pixels": pixels,
        "classes": CLASSES,
        "mean": [0.5] * 3,
        "deviation": [0.25] * 3,
        "recipe": {},
        "scores": {},
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "split_sha256": "",
        "versions": {},
    }
    pack(entry, weights, folder / "store" / f"{version}.mar")


# ---- in process


@contextlib.contextmanager
def _in_process(folder: Path, names: list[str], pictures: Pictures) -> Iterator[Callable[[], Turn]]:
    """A turn of the handlers of all versions at once, each in a process of its own, beside the server."""
    running = read_state(folder / "serve")
    assert running is not None
    environment = psutil.Process(running["pid"]).environ()
    os.environ |= {name: value for name, value in environment.items() if name.startswith(("OMP_", "MALLOC_"))}
    contents = [pictures.read(image) for image in pictures.index.images]
    with contextlib.ExitStack() as stack:
        processes = []
        for name in names:
            unpacked = folder / f"{name} unpacked"
            with zipfile.ZipFile(folder / "store" / f"{name}.mar") as archive:
                archive.extractall(unpacked)
            processes.append(
                stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _load, (unpacked, contents)))
            )

        def take() -> Turn:
            began = time.perf_counter()
            futures = [process.submit(_answer) for process in processes]
            results = [future.result() for future in futures]
            took = time.perf_counter() - began
            return Turn(took, {"handler": sum(spent for _, spent in results)}, np.array([rows for rows, _ in results]))

        yield take


def _load(folder: Path, contents: list[bytes]) -> None:
    """What a process of `_in_process` keeps: the handler of an unpacked archive, and the pictures."""
    from ts.context import Context, RequestProcessor

    from handlers.lesion_classifier import LesionClassifier

    handler, batches = LesionClassifier(), [contents[row : row + BATCH] for row in range(0, len(contents), BATCH)]

    def context(requests: int) -> Context:
        made = Context(KINDS["classifier"].model, str(folder), {"model": {}}, BATCH, None, "")
        made.request_processor = [RequestProcessor({"Content-Type": "application/octet-stream"})] * requests
        return made

    def answer() -> list[list[float]]:
        responses = []
        for batch in batches:
            responses += handler.handle([{"body": content} for content in batch], context(len(batch)))
        return [list(one["probabilities"].values()) for one in responses]

    handler.initialize(context(0))
    _loaded.append(answer)


_loaded: list[Callable[[], list[list[float]]]] = []


def _answer() -> tuple[list[list[float]], float]:
    """What the loaded handler says of the pictures, and the processor seconds it took."""
    began = time.process_time()
    return _loaded[0](), time.process_time() - began


# ---- through REST


@contextlib.contextmanager
def _through_rest(folder: Path, names: list[str], pictures: Pictures) -> Iterator[Callable[[], Turn]]:
    """A turn of `make compare`'s questions to a TorchServe of its own."""
    serve, port = folder / "serve", free_ports()
    labeled = LabeledImages("drawn pictures", pictures.index, pictures, "")
    numbers = iter(range(1_000_000))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            start(folder / "store", serve, port)
        running = read_state(serve)
        assert running is not None
        java = psutil.Process(running["pid"])

        with connect(serve, port, seconds=60) as zoo:
            described = describe_all(zoo)

            def take() -> Turn:
                collected = folder / f"answers{next(numbers)}"
                before, began = _spent(java), time.perf_counter()
                collect(zoo, described, labeled, collected, {})
                took, after = time.perf_counter() - began, _spent(java)
                probabilities = []
                for name in names:
                    of_version = answers.read(collected / f"{name}.jsonl")
                    assert of_version is not None
                    probabilities.append(of_version.predictions(labeled.index).probabilities)
                return Turn(took, {who: after[who] - before[who] for who in after}, np.array(probabilities))

            yield take
    except ServerError as error:
        raise SystemExit(f"error: {error}") from None
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            stop(serve)


def _spent(java: psutil.Process) -> dict[str, float]:
    """Processor seconds so far of the workers, of Java, and of this process, which is the client."""

    def seconds(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    workers = sum(seconds(worker) for worker in java.children(recursive=True))
    return {"workers": workers, "Java": seconds(java), "client": time.process_time()}


if __name__ == "__main__":
    typer.run(main)
