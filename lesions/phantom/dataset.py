"""The phantom: a procedural stand-in for HAM10000, so that the whole zoo runs where no data can be had.

It has HAM10000's layout, columns, classes and order of imbalance (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).
Each class follows the dermatoscopic textbook along distributions that overlap: a feature may be missing, or turn up in
another class. No image shows a patient, and no figure measured on the phantom says anything about real skin.
"""

import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lesions.files import atomic_folder
from lesions.labels import CLASSES
from lesions.phantom.layers import Color, Traits, patch
from lesions.phantom.views import view

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
"""The columns of HAM10000_metadata.csv."""

NOTICE = """PHANTOM: not patients' data.

Every image and every row in this folder was drawn by a program (lesions/phantom, seed {seed}).
It has the layout of HAM10000 and none of its images. Results on it say nothing about real skin.
"""

# One column per class, in the order of CLASSES.
#                       akiec  bcc   bkl   df    mel   nv    vasc
IMAGES = dict(zip(CLASSES, (80, 100, 150, 60, 155, 395, 66), strict=True))
LESIONS = dict(zip(CLASSES, (52, 68, 98, 42, 100, 290, 44), strict=True))
_VIEWS = 4  # the most views of one lesion

# Mean of each measure of shape; `_SPREAD` is its standard deviation as a fraction of that mean.
_SHAPE = {
    #               akiec  bcc   bkl   df    mel   nv    vasc
    "size":         (0.62, 0.58, 0.66, 0.52, 0.74, 0.58, 0.52),
    "elongation":   (1.25, 1.22, 1.25, 1.12, 1.28, 1.18, 1.18),
    "irregularity": (0.12, 0.11, 0.09, 0.06, 0.16, 0.06, 0.08),
    "asymmetry":    (0.50, 0.50, 0.45, 0.25, 0.75, 0.28, 0.40),
    "softness":     (0.28, 0.20, 0.09, 0.28, 0.14, 0.17, 0.12),
    "opacity":      (0.62, 0.58, 0.82, 0.62, 0.92, 0.85, 0.85),
    "colors":      (2.00, 2.00, 2.10, 1.80, 3.00, 1.80, 1.80),
}  # fmt: skip
_SPREAD = {"elongation": 0.12, "opacity": 0.15, "size": 0.28, "colors": 0.35}
_SPREAD_ELSE = 0.40
_LIMITS = {
    "size": (0.25, 1.1), "elongation": (1.0, 1.8), "irregularity": (0.01, 0.32), "asymmetry": (0.0, 1.0),
    "softness": (0.03, 0.5), "opacity": (0.3, 1.0), "colors": (1.0, 4.0),
}  # fmt: skip

# How readily a class takes each pigment.
_PIGMENTS: dict[Color, tuple[float, ...]] = {
    #                    akiec bcc bkl df mel nv vasc
    (0.66, 0.47, 0.38): (2, 2, 5, 6, 2, 6, 1),  # light brown
    (0.48, 0.32, 0.26): (1, 1, 5, 3, 5, 7, 1),  # brown
    (0.27, 0.19, 0.18): (0, 1, 2, 0, 5, 2, 1),  # dark brown
    (0.65, 0.49, 0.37): (2, 1, 5, 1, 1, 1, 0),  # yellow-brown
    (0.45, 0.43, 0.47): (0, 2, 2, 0, 3, 1, 1),  # blue-gray
    (0.78, 0.52, 0.50): (6, 7, 2, 4, 1, 1, 2),  # pink
    (0.70, 0.36, 0.34): (5, 3, 0, 1, 1, 0, 5),  # red
    (0.46, 0.18, 0.26): (0, 0, 0, 0, 1, 0, 6),  # purple
}

# The chance that a lesion of the class shows the structure at all.
_STRUCTURES = {
    #                   akiec  bcc   bkl   df    mel   nv    vasc
    "network":          (0.03, 0.02, 0.10, 0.15, 0.22, 0.70, 0.02),
    "atypical_network": (0.02, 0.03, 0.06, 0.04, 0.58, 0.08, 0.01),
    "fine_rim":         (0.03, 0.02, 0.03, 0.75, 0.04, 0.08, 0.01),
    "globules":         (0.03, 0.06, 0.12, 0.04, 0.35, 0.28, 0.03),
    "streaks":          (0.01, 0.02, 0.03, 0.02, 0.42, 0.05, 0.02),
    "strawberry":       (0.70, 0.04, 0.03, 0.03, 0.04, 0.01, 0.02),
    "nests":            (0.02, 0.68, 0.05, 0.02, 0.10, 0.03, 0.05),
    "lacunae":          (0.02, 0.03, 0.02, 0.02, 0.03, 0.01, 0.85),
    "veil":             (0.02, 0.10, 0.06, 0.03, 0.55, 0.04, 0.08),
    "scar":             (0.04, 0.06, 0.04, 0.75, 0.10, 0.03, 0.03),
    "sheen":            (0.12, 0.45, 0.08, 0.08, 0.10, 0.03, 0.12),
    "vessels":          (0.10, 0.72, 0.04, 0.05, 0.10, 0.02, 0.06),
    "comedones":        (0.02, 0.04, 0.64, 0.02, 0.05, 0.04, 0.02),
    "milia":            (0.02, 0.04, 0.66, 0.03, 0.04, 0.03, 0.02),
    "scale":            (0.70, 0.14, 0.18, 0.08, 0.06, 0.02, 0.04),
}  # fmt: skip

_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "scalp", "unknown")
_SITE_ODDS = {
    "akiec": (3, 4, 1, 4, 1, 8, 2, 0, 3, 1), "bcc": (8, 3, 2, 3, 1, 6, 3, 0, 2, 1),
    "bkl": (8, 4, 3, 3, 2, 7, 3, 0, 2, 1), "df": (1, 9, 1, 4, 1, 0, 0, 1, 0, 1),
    "mel": (9, 5, 2, 5, 1, 3, 2, 1, 1, 1), "nv": (6, 6, 6, 3, 4, 1, 2, 1, 0, 1),
    "vasc": (4, 3, 4, 2, 4, 2, 1, 1, 1, 1),
}  # fmt: skip
_AGE = dict(zip(CLASSES, (67, 67, 64, 52, 61, 47, 51), strict=True))


@dataclass(frozen=True)
class _Lesion:
    """One phantom lesion and the names of its images, one per view."""

    number: int
    dx: str
    images: tuple[str, ...]


def draw(folder: Path, seed: int = 123, workers: int | None = None) -> None:
    """Draw the phantom into `folder`, which appears whole or not at all.

    It holds HAM10000_images_part_1 and HAM10000_images_part_2 (JPEG, 300 x 225), HAM10000_metadata.csv and PHANTOM.txt,
    about a thousand images in all. The files depend on the seed alone, not on the number of `workers` (processes; one
    per core by default). Raises FileExistsError if `folder` already holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is already there: delete it to draw the phantom again")
    with atomic_folder(folder) as aside:
        _fill(aside, seed, workers)


def _fill(folder: Path, seed: int, workers: int | None) -> None:
    """Write images, metadata and notice into an empty folder."""
    lesions = _lesions(seed)
    names = sorted(name for lesion in lesions for name in lesion.images)
    parts = {name: f"HAM10000_images_part_{1 + (2 * i >= len(names))}" for i, name in enumerate(names)}
    for part in set(parts.values()):
        (folder / part).mkdir()
    with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for lesion in lesions:
            table.writerows(_rows(lesion, seed))
    (folder / "PHANTOM.txt").write_text(NOTICE.format(seed=seed))
    # Spawned, not forked: the caller may have threads (torch, the progress bar).
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(_draw_lesion, folder=folder, parts=parts, seed=seed), lesions, chunksize=8)
        if not sys.stderr.isatty():  # a log has no use for a bar
            print(f"Drawing the phantom: {len(lesions)} lesions, about half a minute", file=sys.stderr, flush=True)
        for _ in tqdm(done, "Drawing the phantom", total=len(lesions), unit="lesion", disable=None):
            pass


def _lesions(seed: int) -> list[_Lesion]:
    """Plan every lesion: its number and class in shuffled order, and between 1 and `_VIEWS` image names."""
    rng = np.random.default_rng([seed, 0])
    plan: list[tuple[str, int]] = []
    for dx in CLASSES:
        views = np.ones(LESIONS[dx], int)
        while views.sum() < IMAGES[dx]:
            # A lesion photographed twice is the likelier to be photographed again, as in HAM10000.
            odds = views**2 * (views < _VIEWS)
            views[rng.choice(len(views), p=odds / odds.sum())] += 1
        plan += [(dx, int(count)) for count in views]
    order = rng.permutation(len(plan))
    # Names start at 100001, so that no image is called what a lesion is called, and say nothing of the class.
    numbers = iter((100001 + rng.permutation(sum(IMAGES.values()))).tolist())
    return [
        _Lesion(number, plan[i][0], tuple(f"PHANTOM_{next(numbers):07d}" for _ in range(plan[i][1])))
        for number, i in enumerate(order.tolist(), start=1)
    ]


def _rows(lesion: _Lesion, seed: int) -> list[tuple[str, ...]]:
    """Metadata of a lesion's images: one row each, in the order of `COLUMNS`."""
    rng = np.random.default_rng([seed, 1, lesion.number])
    confirmed = "histo" if lesion.dx in ("akiec", "bcc", "mel") or rng.random() < 0.4 else "consensus"
    dx_type = "follow_up" if lesion.dx == "nv" and rng.random() < 0.5 else confirmed
    age = "" if rng.random() < 0.01 else f"{5.0 * round(np.clip(rng.normal(_AGE[lesion.dx], 14), 5, 85) / 5):.1f}"
    sex = str(rng.choice(["male", "female", "unknown"], p=[0.54, 0.45, 0.01]))
    odds = np.array(_SITE_ODDS[lesion.dx], float)
    site = str(rng.choice(_SITES, p=odds / odds.sum()))
    return [(f"PHANTOM_{lesion.number:07d}", name, lesion.dx, dx_type, age, sex, site) for name in lesion.images]


def _draw_lesion(lesion: _Lesion, folder: Path, parts: dict[str, str], seed: int) -> None:
    """Paint a lesion and write its views, each into its part of the folder."""
    rng = np.random.default_rng([seed, 2, lesion.number])
    traits = _traits(lesion.dx, rng)
    painted = patch(traits, rng)
    for index, name in enumerate(lesion.images):
        image = view(traits, painted, np.random.default_rng([seed, 3, lesion.number, index]))
        image.save(folder / parts[name] / f"{name}.jpg", quality=90)


def _traits(dx: str, rng: np.random.Generator) -> Traits:
    """Draw a lesion's traits from its class's distributions."""
    column = CLASSES.index(dx)
    shape = {}
    for name, means in _SHAPE.items():
        spread = _SPREAD.get(name, _SPREAD_ELSE)
        shape[name] = float(np.clip(rng.normal(means[column], spread * means[column]), *_LIMITS[name]))
    count = round(shape.pop("colors"))

    tan = rng.uniform(0, 1)
    skin = np.array((0.86, 0.67, 0.63)) * (1 - tan) + np.array((0.76, 0.55, 0.46)) * tan + rng.normal(0, 0.012, 3)
    pigments = np.array(list(_PIGMENTS))
    odds = np.array([weights[column] for weights in _PIGMENTS.values()])
    count = min(count, int(np.count_nonzero(odds)))
    chosen = pigments[rng.choice(len(pigments), count, replace=False, p=odds / odds.sum())]
    chosen = (chosen + rng.normal(0, 0.03, chosen.shape)) * np.sqrt(skin / (0.81, 0.61, 0.55))

    present = {name: rng.random() < chances[column] for name, chances in _STRUCTURES.items()}
    strengths = {name: float(rng.uniform(0.3, 1.0)) for name in _STRUCTURES}
    return Traits(
        skin=_color(skin),
        colors=tuple(_color(pigment) for pigment in chosen),
        structures={name: strengths[name] for name in _STRUCTURES if present[name]},
        hair=float(rng.uniform(0.1, 1.0)) if rng.random() < 0.35 else 0.0,
        **shape,
    )


def _color(values: NDArray[np.float64]) -> Color:
    """Clip three sRGB values to what a color can be."""
    red, green, blue = np.clip(values, 0.02, 0.98).tolist()
    return red, green, blue
