"""What a data set looks like: numbers on the terminal, and pictures of every class (thesis section 2)."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from lesions import split, store
from lesions.labels import CLASSES, DIAGNOSES

PIXELS = 224
"""The size at which the data are described: the thesis's."""

ROWS, COLUMNS = 4, 8
"""Of a contact sheet."""


def describe(source: Path, folder: Path) -> None:
    """Print classes, channels and lesions of the data in `source`; write a histogram and contact sheets to `folder`.

    Channel statistics are of all images, on the scale 0 to 1 at 224 px, as in the thesis (training uses those of its
    training split). Raises `DataError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        cache = Path(temporary) / "cache"
        store.prepare(source, cache, PIXELS)
        _report(source, store.load(cache), folder)


def _report(source: Path, data: store.Store, folder: Path) -> None:
    counts = np.bincount(data.index.labels, minlength=len(CLASSES))
    lesions = [
        len({data.index.lesions[row] for row in np.flatnonzero(data.index.labels == k)}) for k in range(len(CLASSES))
    ]
    per_lesion = Counter(Counter(data.index.lesions).values())
    mean, std = store.channel_statistics(data.images)
    by_lesion = split.by_lesion(data.index)

    console = Console()
    table = Table(title=f"{source}: {len(data.index):,} images of {sum(lesions):,} lesions", title_justify="left")
    for heading in ("class", "diagnosis", "images", "share", "lesions", *split.PARTS):
        table.add_column(heading, justify="left" if heading in ("class", "diagnosis") else "right")
    for k, name in enumerate(CLASSES):
        parts = np.bincount(by_lesion[data.index.labels == k], minlength=len(split.PARTS))
        share = f"{counts[k] / counts.sum():.1%}"
        table.add_row(name, DIAGNOSES[name], str(counts[k]), share, str(lesions[k]), *map(str, parts))
    console.print(table)
    for what, values in (("mean", mean), ("standard deviation", std)):
        console.print(f"{what} of red, green, blue: {', '.join(f'{value:.4f}' for value in values)}")
    console.print("images per lesion:", ", ".join(f"{n} x {times:,}" for n, times in sorted(per_lesion.items())))

    _histogram(counts, source.name).savefig(folder / "classes.png", dpi=120)
    random = np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        rows = np.flatnonzero(data.index.labels == k)
        chosen = np.sort(random.permutation(rows)[: ROWS * COLUMNS])
        _contact_sheet(data.images[chosen], f"{name}: {DIAGNOSES[name]}").save(folder / f"{name}.png")
    console.print(f"pictures: {folder}/classes.png and a contact sheet of each class")


def _histogram(counts: np.ndarray[tuple[int], np.dtype[np.int64]], title: str) -> Figure:
    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        axes = figure.subplots()
        bars = axes.bar(CLASSES, counts, color="#8a5a44")
        axes.bar_label(bars, [f"{count:,}" for count in counts])
        axes.set(title=title, ylabel="images")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.12)
    return figure


def _contact_sheet(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], title: str) -> Image.Image:
    """A grid of uint8 [n, side, side, 3] images under a title."""
    side, gap, head = PIXELS // 2, 4, 24
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (side + gap) + gap, head + rows * (side + gap) + gap), "white")
    ImageDraw.Draw(sheet).text((gap, 6), title, fill="black", font_size=14)
    for place, pixels in enumerate(images):
        small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        sheet.paste(small, (gap + place % COLUMNS * (side + gap), head + place // COLUMNS * (side + gap)))
    return sheet
