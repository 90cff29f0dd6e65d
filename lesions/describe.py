"""Describe a data set: numbers on the terminal, and images of each class (thesis section 2)."""

from collections import Counter
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lesions import split, store
from lesions.index import Index
from lesions.labels import CLASSES, DIAGNOSES
from lesions.sources import open_source
from lesions.sources.left_out import counted

PIXELS = 224  # the image size of the thesis
ROWS, COLUMNS = 4, 8  # of a contact sheet


def describe(source: Path, folder: Path, scc: str | None = None) -> None:
    """Print classes, channels and lesions of the data in `source`; write a histogram and contact sheets to `folder`.

    Channel statistics are of all images, on the scale 0 to 1 at 224 px, as in the thesis (training uses those of its
    training split). Squamous cell carcinomas count as the class `scc`, if there is one. Raises `DataError`, before
    anything is written where there are no such data.
    """
    open_source(source, scc)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        store.prepare(source, cache := Path(temporary) / "cache", PIXELS, scc)
        data = store.load(cache)
        _print(source, data)
        _draw(source.name, data, folder)


def _print(source: Path, data: store.Store) -> None:
    labels, lesions = data.index.labels, np.array(data.index.lesions)
    console = Console()
    title = f"{source}: {counted(len(labels), 'image')} of {counted(len(set(data.index.lesions)), 'lesion')}"
    table = Table(title=Text(title), title_justify="left")
    for heading in ("class", "diagnosis", "images", "share", "lesions", *split.PARTS):
        table.add_column(heading, justify="left" if heading in ("class", "diagnosis") else "right")
    parts = split.by_lesion(data.index)
    for k, name in enumerate(CLASSES):
        images = labels == k
        numbers = (len(set(lesions[images])), *np.bincount(parts[images], minlength=len(split.PARTS)))
        table.add_row(name, DIAGNOSES[name], str(images.sum()), f"{images.mean():.1%}", *map(str, numbers))
    console.print(table)
    for name, values in zip(("mean", "standard deviation"), store.channel_statistics(data.images), strict=True):
        console.print(f"{name} of red, green, blue: {', '.join(f'{value:.4f}' for value in values)}")
    per_lesion = Counter(Counter(data.index.lesions).values())
    console.print("images per lesion:", ", ".join(f"{n} x {times:,}" for n, times in sorted(per_lesion.items())))
    for line in persons(data.index):
        console.print(line, markup=False)


def persons(index: Index) -> list[str]:
    """Lines on the age and sex of the persons and the sites of the lesions, by image, as far as any is known."""
    lines = []
    if len(ages := index.age[~np.isnan(index.age)]):
        quarters = ", ".join(f"{value:.0f}" for value in np.quantile(ages, [0, 0.25, 0.5, 0.75, 1]))
        lines.append(f"age in years (least, quartiles, most): {quarters}; unknown {len(index) - len(ages):,}")
    for name, values in (("sex", index.sex), ("site", index.site)):
        if any(values):
            counts = Counter(value or "unknown" for value in values).most_common()
            lines.append(f"{name}: {', '.join(f'{value} {times:,}' for value, times in counts)}")
    return lines


def _draw(title: str, data: store.Store, folder: Path) -> None:
    """Write a histogram of the classes, and for each class a contact sheet of images that are drawn at random."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    counts = np.bincount(data.index.labels, minlength=len(CLASSES))
    axes.bar_label(axes.bar(CLASSES, counts, color="#8a5a44"), [f"{count:,}" for count in counts])
    axes.set_title(title, parse_math=False)
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
    figure.savefig(folder / "classes.png", dpi=120)
    rng = np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        rows = np.sort(rng.permutation(np.flatnonzero(data.index.labels == k))[: ROWS * COLUMNS])
        if not len(rows):
            continue
        figure = Figure(figsize=(COLUMNS, -(-len(rows) // COLUMNS) + 0.3), layout="compressed")
        figure.suptitle(f"{name}: {DIAGNOSES[name]}")
        grid = figure.subplots(-(-len(rows) // COLUMNS), COLUMNS, squeeze=False)
        for axes, row in zip_longest(grid.flat, rows):
            axes.axis("off")
            if row is not None:
                axes.imshow(data.images[row])
        figure.savefig(folder / f"{name}.png", dpi=120)
    print(f"pictures: {folder}/classes.png and a contact sheet of each class")
