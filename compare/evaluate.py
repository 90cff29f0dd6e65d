"""Judge a study: from its served versions and its images to scores, the report, and paired differences."""

import hashlib
import re
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from compare import answers, results
from compare.answers import Answers
from compare.client import Zoo
from compare.collect import check_split, collect, describe_all
from compare.labeled import (
    LabeledImages,
    external_images,
    held_out_images,
    images_seen_in_training,
    too_large,
    trained_content,
)
from compare.results import Results
from lesions.files import atomic_write
from lesions.index import DataError
from lesions.sources.left_out import counted
from zoo.metrics.bootstrap import Difference
from zoo.serving import champion
from zoo.serving.http import ServerError
from zoo.serving.runtime import Server
from zoo.study import Folders

LIMIT = "max_request_bytes"
"""A file of the report's folder: the largest picture that the server took when it was asked."""


def images(
    folders: Folders, test: Path | None, strict: bool = False, scc: str | None = None, server: Server | None = None
) -> tuple[LabeledImages, Path]:
    """The images to score, and the folder of the report: the study's test split, or `test` from outside.

    Pictures of `test` that are larger than the `server` takes are left out; without one, those that the last one did
    not take. In the study's own split they are an error. Squamous cell carcinomas of `test` count as the class `scc`,
    by default as in the study. Raises `DataError` or `StudyError`.
    """
    folder = folders.reports
    if test is None:
        labeled = held_out_images(folders)
        largest = server.max_request_bytes if server else None
        for image in labeled.index.images:
            if reason := too_large(labeled.source, image, largest):
                raise DataError(f"{labeled.source.where(image)}: {reason}")
        return labeled, folder
    place = test.expanduser().resolve()
    name = re.sub(r"[^a-z0-9_.]+", "_", place.stem.lower()).strip("_.") or "test"
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:6]
    seen, scc = images_seen_in_training(folders), scc or folders.read().scc
    folder /= f"outside-{name}-{digest}"
    trained = trained_content(folders, seen)
    if server is None:
        largest = int((folder / LIMIT).read_text()) if (folder / LIMIT).is_file() else None
        return external_images(place, seen, strict, scc, largest, trained), folder
    labeled = external_images(place, seen, strict, scc, server.max_request_bytes, trained)
    atomic_write(folder / LIMIT, str(server.max_request_bytes))
    return labeled, folder


def evaluate(zoo: Zoo, folders: Folders, labeled: LabeledImages, folder: Path) -> Results:
    """Ask every served version, score the answers, and write the report into `folder`. Raises `ServerError`."""
    entries = describe_all(zoo)
    if others := ", ".join(sorted({entry["study"] for entry in entries.values()} - {folders.name})):
        raise ServerError(f"the server is that of the study {others}, not {folders.name}'s; name it: STUDY=...")
    check_split(entries, labeled)
    archives = {Path(file).stem: digest for file, digest in zoo.server.archives().items()}
    collect(zoo, entries, labeled, folder / "answers", archives)
    return report(folders, labeled, folder, list(entries))


def report(folders: Folders, labeled: LabeledImages, folder: Path, entries: list[str] | None = None) -> Results:
    """Score the answers of `entries` (all, if none are named) that lie in `folder`, and write the report there.

    Raises `ServerError` where there are none, or images are missing.
    """
    answers_by_entry = collected_answers(labeled, folder, entries)
    current = champion.current(folders.archives)
    computed = results.compute(folders, labeled, answers_by_entry, current.entry if current else None)
    from compare.report import page  # matplotlib takes a second

    page(computed, labeled, answers_by_entry, folder)
    results.save(computed, folder)
    return computed


def collected_answers(labeled: LabeledImages, folder: Path, entries: list[str] | None = None) -> dict[str, Answers]:
    """The answers that lie in `folder`, by entry. Raises `ServerError` where there are none, or images are missing."""
    names = entries or sorted(file.stem for file in (folder / "answers").glob("*.jsonl"))
    answers_by_entry: dict[str, Answers] = {}
    for name in names:
        of_entry = answers.read(folder / "answers" / f"{name}.jsonl")
        if of_entry is None:
            raise ServerError(f"no answers of {name} in {folder}/answers; first: make compare")
        if of_entry.images not in ("", labeled.digest):
            raise ServerError(f"{name} was asked about other pictures, which have changed since; first: make compare")
        if missing := [image for image in labeled.index.images if image not in of_entry.by_image]:
            unanswered = f"{counted(len(missing), 'image')}, {missing[0]} first"
            raise ServerError(f"{name} has not answered {unanswered}; first: make compare")
        answers_by_entry[name] = of_entry
    if not answers_by_entry:
        raise ServerError(f"no answers in {folder}/answers; first: make compare")
    check_split({name: of_entry.described for name, of_entry in answers_by_entry.items()}, labeled)
    return answers_by_entry


def ab(labeled: LabeledImages, folder: Path, first: str, second: str) -> Difference:
    """The macro F1 of `first` less that of `second`, from the answers in `folder`. Raises `ServerError`."""
    answers_by_entry = collected_answers(labeled, folder, [first, second])
    return results.pair(labeled, answers_by_entry[first], answers_by_entry[second])


def table(computed: Results) -> Table:
    """The results for a terminal."""
    title = f"{computed.study}: {computed.test_images}, {computed.images_from}"
    rows = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("entry", no_wrap=True)
    for heading in ("macro F1, 95 % interval", "thesis", "bal. acc.", "accuracy", "AUC", "ECE", "p50, p99 ms"):
        rows.add_column(heading, justify="right")
    for result in computed.results:
        scores, (low, high) = result.scores, result.scores.macro_f1_interval
        numbers = (scores.balanced_accuracy, scores.accuracy, scores.macro_auc, scores.ece)
        rows.add_row(
            result.entry + (" *" if result.entry == computed.champion else ""),
            f"{scores.macro_f1:.3f} ({low:.2f} to {high:.2f})",
            "" if result.thesis_macro_f1 is None else f"{result.thesis_macro_f1:.2f}",
            *("" if number is None else f"{number:.3f}" for number in numbers),
            f"{result.latency_p50_ms:.0f}, {result.latency_p99_ms:.0f}",
        )
    return rows
