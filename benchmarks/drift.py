"""`python -m benchmarks.drift`: whether a drift is seen, and how often one is seen that is not there.

The demo's test pictures go to its `transfer`, a hundred an hour; from noon on they come from another camera, of several
kinds. Needs `make zoo ENTRIES=transfer`. Writes the figure of docs/live.md.
"""

import base64
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from compare.labeled import held_out_images
from gateway.drift.answers import of_version
from gateway.drift.drift import HOUR, Drift, measure, validation
from gateway.drift.page import curves
from lesions.files import atomic_write
from lesions.images import center_square, decode
from tests.gateway.verdict.rows import STARTED, answer, database, write
from zoo.models.session import read_archive
from zoo.serving.classifier import ClassifierService
from zoo.study import ROOT, Folders, Study

ENTRY, HOURS, EACH, NOON = "transfer", 24, 100, 12
QUIET = 40
"""Days without any change, for false warnings."""
FIGURE = ROOT / "docs" / "assets" / "drift.svg"
Change = Callable[[Image.Image], Image.Image]


def main() -> None:
    """Print what each camera brings, and how many quiet hours bring a warning; write the figure of one camera."""
    folders = Folders(Study().name)
    service = ClassifierService(*read_archive(folders.archives / f"{ENTRY}.mar"))
    labeled = held_out_images(folders)
    pictures = [decode(labeled.source.read(image)) for image in labeled.index.images]
    usual = _answers(service, pictures, lambda picture: picture)
    print(f"{ENTRY} of {folders.name}, {len(pictures)} test pictures, {EACH} an hour, {HOURS} hours")
    days = [_day(folders, usual, usual, seed) for seed in range(QUIET)]
    warned = [sum(bool(span.drifted) for span in day.hours) for day in days]
    print(f"no change: {sum(warned)} of {QUIET * HOURS} hours warn, on {sum(map(bool, warned))} of {QUIET} days")
    for name, change in _cameras().items():
        day = _day(folders, usual, _answers(service, pictures, change), seed=0)
        after = day.hours[NOON:]
        indices = {q: statistics.median(span.shifts[q].psi for span in after) for q in day.quantities}
        seen = {q: sum(q in span.drifted for span in after) for q in day.quantities}
        print(f"{name}: " + ", ".join(f"{q} {seen[q]} of {len(after)} hours (PSI {indices[q]:.2f})" for q in seen))
        if name == "out of focus" and (url := curves(day)):
            atomic_write(FIGURE, base64.b64decode(url.partition(",")[2]))
            print(FIGURE)
    print(_cost(service))


def _cameras() -> dict[str, Change]:
    return {
        "out of focus": lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 60)),
        "a third darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.67),
        "without color": lambda picture: ImageEnhance.Color(picture).enhance(0),
        "twice as near": lambda picture: picture.crop(_middle(picture)),
    }


def _middle(picture: Image.Image) -> tuple[int, int, int, int]:
    width, height = picture.size
    return width // 4, height // 4, width * 3 // 4, height * 3 // 4


def _answers(service: ClassifierService, pictures: list[Image.Image], change: Change) -> list[dict[str, Any]]:
    """The version's answer to each picture."""
    size = service.entry["pixels"]
    images = np.stack([center_square(change(picture), size) for picture in pictures])
    return [answered.body for answered in service.predict(images)]


def _day(folders: Folders, usual: list[dict[str, Any]], changed: list[dict[str, Any]], seed: int) -> Drift:
    """A day of answers, drawn at random: usual ones until noon, then changed ones."""
    random, first = np.random.default_rng(seed), (STARTED // HOUR) * HOUR
    rows = []
    for hour in range(HOURS):
        of_hour = usual if hour < NOON else changed
        for number, picture in enumerate(random.integers(len(of_hour), size=EACH)):
            body = of_hour[picture]
            own = {"time": first + hour * HOUR + number, "probabilities": list(body["probabilities"].values())}
            row = answer(hour * EACH + number, ENTRY, f"{number}", 0, distance=body["distance"], experiment=None)
            rows.append(row | own)
    with tempfile.TemporaryDirectory(prefix="lz-") as folder:
        engine = database(Path(folder) / "events.sqlite")
        write(engine, rows, [])
        answers = of_version(engine, ENTRY, first, first + HOURS * HOUR)
        engine.dispose()
    return measure(ENTRY, answers, validation(folders, ENTRY))


def _cost(service: ClassifierService) -> str:
    """What the distance costs: both ways in turns, of one picture; the fastest of each, on a busy machine."""
    without = ClassifierService.__new__(ClassifierService)
    without.entry, without.predictor, without.reference = service.entry, service.predictor, None
    image: NDArray[np.uint8] = np.zeros((1, service.entry["pixels"], service.entry["pixels"], 3), np.uint8)
    taken: list[list[float]] = [[], []]
    for _ in range(500):
        for times, side in zip(taken, (service, without), strict=True):
            began = time.perf_counter()
            side.predict(image)
            times.append(1000 * (time.perf_counter() - began))
    own, plain = map(min, taken)
    return f"an answer takes {own:.2f} ms with the distance and {plain:.2f} ms without: {own / plain:.2f}"


if __name__ == "__main__":
    main()
