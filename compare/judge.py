"""The commands that judge a study: evaluate, report, ab and promote, from its folders to what they print."""

import hashlib
import re
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from compare import answers, results
from compare.answers import Answers
from compare.client import Zoo, ZooError
from compare.evaluate import check_split, collect, served
from compare.labeled import LabeledImages, held_out_images, images_seen_in_training
from compare.outside import outside
from compare.results import Results
from zoo.metrics.bootstrap import Difference
from zoo.serving import champion
from zoo.serving.torchserve.process import state
from zoo.study import Folders

REPORTS = Path("reports")


def images(folders: Folders, test: Path | None, strict: bool = False) -> tuple[LabeledImages, Path]:
    """What is asked, and the folder of the report: the study's test split, or `test` from outside.

    Raises `DataError` or `StudyError`.
    """
    folder = folders.root / REPORTS / folders.name
    if test is None:
        return held_out_images(folders), folder
    place = test.expanduser().resolve()
    told = re.sub(r"[^a-z0-9_.]+", "_", place.stem.lower()).strip("_.") or "test"
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:6]
    return outside(place, images_seen_in_training(folders), strict), folder / f"outside-{told}-{digest}"


def evaluate(zoo: Zoo, folders: Folders, labeled: LabeledImages, folder: Path) -> Results:
    """Ask every served version, score the answers, and write the report into `folder`. Raises `ZooError`."""
    described = served(zoo)
    if others := sorted({entry["study"] for entry in described.values()} - {folders.name}):
        raise ZooError(f"the server is that of the study {', '.join(others)}, not {folders.name}'s; name it: STUDY=...")
    check_split(described, labeled)
    known = (state(folders.runs / "serve") or {}).get("archives", {})
    archives = {Path(file).stem: digest for file, digest in known.items()}
    collect(zoo, described, labeled, folder / "answers", archives)
    return report(folders, labeled, folder, list(described))


def report(folders: Folders, labeled: LabeledImages, folder: Path, entries: list[str] | None = None) -> Results:
    """Score the answers of `entries` (all, if none are named) that lie in `folder`, and write the report there.

    Raises `ZooError` where there are none, or images are missing.
    """
    given = collected(labeled, folder, entries)
    present = champion.current(folders.archives)
    found = results.compute(folders, labeled, given, present.entry if present else None)
    from compare.report import page  # matplotlib takes a second

    page(found, labeled, given, folder)
    results.save(found, folder)
    return found


def collected(labeled: LabeledImages, folder: Path, entries: list[str] | None = None) -> dict[str, Answers]:
    """The answers that lie in `folder`, by entry. Raises `ZooError` where there are none, or images are missing."""
    names = entries or sorted(file.stem for file in (folder / "answers").glob("*.jsonl"))
    given: dict[str, Answers] = {}
    for name in names:
        found = answers.read(folder / "answers" / f"{name}.jsonl")
        if found is None:
            raise ZooError(f"no answers of {name} in {folder}/answers; first: make compare")
        if missing := [image for image in labeled.index.images if image not in found.by_image]:
            raise ZooError(f"{name} has not answered {len(missing)} images, {missing[0]} first; first: make compare")
        given[name] = found
    if not given:
        raise ZooError(f"no answers in {folder}/answers; first: make compare")
    check_split({name: one.described for name, one in given.items()}, labeled)
    return given


def ab(labeled: LabeledImages, folder: Path, first: str, second: str) -> Difference:
    """The macro F1 of `first` less that of `second`, from the answers in `folder`. Raises `ZooError`."""
    given = collected(labeled, folder, [first, second])
    return results.pair(labeled, given[first], given[second])


def table(found: Results) -> Table:
    """The results for a terminal."""
    title = f"{found.study}: {found.images:,} images of {found.lesions:,} lesions, {found.images_from}"
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("entry", no_wrap=True)
    for heading in ("macro F1, 95 % interval", "thesis", "bal. acc.", "accuracy", "AUC", "ECE", "p50, p99 ms"):
        shown.add_column(heading, justify="right")
    for result in found.results:
        said, (low, high) = result.scores, result.scores.macro_f1_interval
        shown.add_row(
            result.entry + (" *" if result.entry == found.champion else ""),
            f"{said.macro_f1:.3f} ({low:.2f} to {high:.2f})",
            "" if result.thesis_macro_f1 is None else f"{result.thesis_macro_f1:.2f}",
            f"{said.balanced_accuracy:.3f}",
            f"{said.accuracy:.3f}",
            "" if said.macro_auc is None else f"{said.macro_auc:.3f}",
            f"{said.ece:.3f}",
            f"{result.latency_p50_ms:.0f}, {result.latency_p99_ms:.0f}",
        )
    return shown
