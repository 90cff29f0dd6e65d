"""Ask versions about pictures that are nobody's test: a table for the terminal, and a file for many."""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from compare.client import Answer, Zoo
from compare.collect import IN_FLIGHT
from compare.pictures import read, shown
from lesions.errors import UserError
from lesions.labels import CLASSES, DIAGNOSES
from zoo.serving.http import NoServerError, ServerError
from zoo.terminal import console

MOST_ROWS = 500
"""Of a table; the file has all."""
SOME = 8
"""From so many answers on there is a progress bar."""


class Row(NamedTuple):
    """What a version says of a picture, or why it does not."""

    image: Path
    entry: str
    answer: Answer | None
    error: str = ""


def ask(zoo: Zoo, image: Path, version: str) -> Answer:
    """What `version` says of a picture. Raises `UserError` that names the picture, or `NoServerError`."""
    content = read(image)
    try:
        return zoo.classify(content, version)
    except NoServerError:
        raise
    except ServerError as error:
        raise ServerError(f"{shown(image)}: {error}", error.code) from None


def ask_all(zoo: Zoo, images: Sequence[Path], versions: Sequence[str]) -> list[Row]:
    """A row for each picture and version, in this order; an error is a row, too, and the others go on."""

    def row(question: tuple[Path, str]) -> Row:
        try:
            return Row(*question, ask(zoo, *question))
        except UserError as error:
            return Row(*question, None, str(error).removeprefix(f"{shown(question[0])}: "))

    questions = [(image, version) for image in images for version in versions]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        try:
            bar = tqdm(total=len(questions), desc="asking", unit="answer", disable=len(questions) < SOME or None)
            with bar:
                rows = []
                for answered in pool.map(row, questions):
                    rows.append(answered)
                    bar.update()
                return rows
        except BaseException:  # Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def csv_of(rows: Sequence[Row]) -> str:
    """The rows as CSV: image, entry, label, a probability for each class, error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "entry", "label", *CLASSES, "error"])
    for row in rows:
        cells = [""] * (1 + len(CLASSES)) if row.answer is None else [row.answer["label"], *_numbers(row.answer, 7)]
        writer.writerow([shown(row.image), row.entry, *cells, row.error])
    return text.getvalue()


def print_rows(rows: Sequence[Row]) -> None:
    """Print a table: a row a picture and version, a column a class, each row's highest probability in bold."""
    answers = [row.answer for row in rows if row.answer is not None]
    several, failed = len({row.image for row in rows}) > 1, len(answers) < len(rows)
    about = f"{len({row.image for row in rows})} pictures" if several else shown(rows[0].image)
    study = f" ({answers[0]['study']})" if answers else ""
    table = Table(title=f"{about}{study}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    if several:
        table.add_column("image", overflow="fold")
    table.add_column("entry", no_wrap=True)
    table.add_column("label", no_wrap=True)
    for name in CLASSES:
        table.add_column(name, justify="right", no_wrap=True)
    if failed:
        table.add_column("error", overflow="fold")
    for row in rows[:MOST_ROWS]:
        table.add_row(*[shown(row.image)] * several, row.entry, *_cells(row.answer), *[row.error] * failed)
    console(160 if several else 100).print(table)
    if len(rows) > MOST_ROWS:
        print(f"... and {len(rows) - MOST_ROWS:,} more")
    if answers:
        labels = sorted({answer["label"] for answer in answers})
        print(", ".join(f"{name}: {DIAGNOSES[name]}" for name in labels))
        print(answers[0]["notice"])


def _cells(answer: Answer | None) -> list[str | Text]:
    if answer is None:
        return [""] * (1 + len(CLASSES))
    highest = CLASSES.index(answer["label"])
    numbers = enumerate(_numbers(answer, 2))
    return [answer["label"], *(Text(n, style="bold green" if k == highest else "") for k, n in numbers)]


def _numbers(answer: Answer, digits: int) -> list[str]:
    return [f"{answer['probabilities'][name]:.{digits}f}" for name in CLASSES]
