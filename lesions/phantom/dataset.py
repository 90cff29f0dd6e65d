"""Draw the phantom: a procedural stand-in for HAM10000, with which the whole zoo runs where there are no real data.

It has HAM10000's layout, columns, classes and order of imbalance (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).
Each class has the features of the dermatoscopic textbook, with distributions that overlap (traits.toml): a feature may
be absent, or be present in another class. No image shows a patient, and no result says anything about real skin.
"""

import csv
import sys
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lesions.files import atomic_folder, file_lock
from lesions.labels import CLASSES
from lesions.phantom.patch import Traits, patch
from lesions.phantom.views import view

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")  # of HAM10000_metadata.csv
NOTICE = """PHANTOM: not patients' data.

Every image and every row in this folder was drawn by a program (lesions/phantom, seed {seed}).
It has the layout of HAM10000 and none of its images. Results on it say nothing about real skin.
"""
VIEWS = 4  # the most of one lesion
TRAITS = tomllib.loads((Path(__file__).parent / "traits.toml").read_text())
"""The distributions of each class, in tables with a column for each class."""


class _Lesion(NamedTuple):
    """One phantom lesion and the names of its images, one per view."""

    number: int
    dx: str
    images: tuple[str, ...]


def draw_once(folder: Path) -> None:
    """Draw the phantom into `folder`, unless it is there; where another process draws it, wait."""
    with file_lock(folder):
        if not folder.is_dir():
            draw(folder)


def draw(folder: Path, seed: int = 123, workers: int | None = None) -> None:
    """Draw the phantom into `folder`, which is complete or not there.

    It holds HAM10000_images_part_1 and HAM10000_images_part_2 (about a thousand JPEGs of 300 x 225 pixels),
    HAM10000_metadata.csv and PHANTOM.txt. The files depend only on the seed, not on the number of `workers` (processes;
    one per core by default). Raises FileExistsError if `folder` is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is already there: delete it to draw the phantom again")
    lesions = _lesions(seed)
    names = sorted(name for lesion in lesions for name in lesion.images)
    parts = {name: f"HAM10000_images_part_{1 + (2 * i >= len(names))}" for i, name in enumerate(names)}
    # Processes are spawned, not forked: the caller may have threads (torch, the progress bar).
    with atomic_folder(folder) as aside, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for part in set(parts.values()):
            (aside / part).mkdir()
        with (aside / "HAM10000_metadata.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *(row for lesion in lesions for row in _rows(lesion, seed))])
        (aside / "PHANTOM.txt").write_text(NOTICE.format(seed=seed))
        results = pool.map(partial(_draw_lesion, folder=aside, parts=parts, seed=seed), lesions, chunksize=8)
        if not sys.stderr.isatty():  # a log has no use for a bar
            print(f"Drawing the phantom: {len(lesions)} lesions, about half a minute", file=sys.stderr, flush=True)
        for _ in tqdm(results, "Drawing the phantom", total=len(lesions), unit="lesion", disable=None):
            pass


def _lesions(seed: int) -> list[_Lesion]:
    """Plan the lesions: numbers and classes in shuffled order, each with 1 to `VIEWS` image names."""
    rng = np.random.default_rng([seed, 0])
    plan: list[tuple[str, int]] = []
    for dx, lesions, images in zip(CLASSES, TRAITS["lesions"], TRAITS["images"], strict=True):
        views = np.ones(lesions, int)
        while views.sum() < images:
            # A lesion with several images is more likely to get another one, as in HAM10000.
            weights = views**2 * (views < VIEWS)
            views[rng.choice(lesions, p=weights / weights.sum())] += 1
        plan += [(dx, int(count)) for count in views]
    order = rng.permutation(len(plan))
    # Names do not tell the class, and start at 100001, so that no image has the name of a lesion.
    numbers = iter((100001 + rng.permutation(sum(TRAITS["images"]))).tolist())
    return [
        _Lesion(number, plan[i][0], tuple(f"PHANTOM_{next(numbers):07d}" for _ in range(plan[i][1])))
        for number, i in enumerate(order.tolist(), start=1)
    ]


def _rows(lesion: _Lesion, seed: int) -> list[tuple[str, ...]]:
    """Metadata of a lesion's images: one row each, in the order of `COLUMNS`."""
    rng, column = np.random.default_rng([seed, 1, lesion.number]), CLASSES.index(lesion.dx)
    confirmed = "histo" if lesion.dx in ("akiec", "bcc", "mel") or rng.random() < 0.4 else "consensus"
    dx_type = "follow_up" if lesion.dx == "nv" and rng.random() < 0.5 else confirmed
    age = "" if rng.random() < 0.01 else f"{5.0 * round(np.clip(rng.normal(TRAITS['age'][column], 14), 5, 85) / 5):.1f}"
    sex = str(rng.choice(["male", "female", "unknown"], p=[0.54, 0.45, 0.01]))
    site = str(rng.choice(list(TRAITS["sites"]), p=_shares(TRAITS["sites"].values(), column)))
    return [(f"PHANTOM_{lesion.number:07d}", name, lesion.dx, dx_type, age, sex, site) for name in lesion.images]


def _draw_lesion(lesion: _Lesion, folder: Path, parts: dict[str, str], seed: int) -> None:
    """Paint a lesion and save its views; `parts` gives the subfolder of each image."""
    rng = np.random.default_rng([seed, 2, lesion.number])
    traits = _traits(lesion.dx, rng)
    painted = patch(traits, rng)
    for index, name in enumerate(lesion.images):
        photograph = view(traits, painted, np.random.default_rng([seed, 3, lesion.number, index]))
        photograph.save(folder / parts[name] / f"{name}.jpg", quality=90)


def _traits(dx: str, rng: np.random.Generator) -> Traits:
    """Draw a lesion's traits from its class's distributions."""
    column = CLASSES.index(dx)
    shape = {}
    for name, (*means, std, least, most) in TRAITS["shape"].items():
        shape[name] = float(np.clip(rng.normal(means[column], std * means[column]), least, most))

    tan = rng.uniform(0, 1)
    skin = np.array((0.86, 0.67, 0.63)) * (1 - tan) + np.array((0.76, 0.55, 0.46)) * tan + rng.normal(0, 0.012, 3)
    shares = _shares((pigment["weights"] for pigment in TRAITS["pigments"].values()), column)
    count = min(round(shape.pop("colors")), int(np.count_nonzero(shares)))
    pigments = np.array([pigment["color"] for pigment in TRAITS["pigments"].values()])
    colors = pigments[rng.choice(len(pigments), count, replace=False, p=shares)]
    colors = (colors + rng.normal(0, 0.03, colors.shape)) * np.sqrt(skin / (0.81, 0.61, 0.55))

    present = [name for name, probabilities in TRAITS["structures"].items() if rng.random() < probabilities[column]]
    strengths = {name: float(rng.uniform(0.3, 1.0)) for name in TRAITS["structures"]}
    return Traits(
        skin=np.clip(skin, 0.02, 0.98).tolist(),
        colors=np.clip(colors, 0.02, 0.98).tolist(),
        structures={name: strengths[name] for name in present},
        hair=float(rng.uniform(0.1, 1.0)) if rng.random() < 0.35 else 0.0,
        **shape,
    )


def _shares(rows: Iterable[Sequence[int]], column: int) -> NDArray[np.float64]:
    """The weights in a class's column of `rows`, scaled to the sum 1."""
    weights: NDArray[np.float64] = np.array([row[column] for row in rows], np.float64)
    return weights / float(weights.sum())
