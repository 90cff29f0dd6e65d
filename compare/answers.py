"""What versions have answered: a file for each, written line by line, so that an interruption loses nothing."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lesions.index import Index
from zoo.metrics.scores import Predictions


class Answer(NamedTuple):
    """One answer, as the client saw it."""

    milliseconds: float
    """From asking to the answer, further tries included."""
    probabilities: list[float]
    """[7], in the order of `CLASSES`."""


class Answers(NamedTuple):
    """What one version said."""

    described: dict[str, Any]
    """Its `entry.json`."""
    asked: str
    """The key under which the answers were collected."""
    by_image: dict[str, Answer]

    def predictions(self, index: Index) -> Predictions:
        """The answers to the images of `index`, in its order. Raises `KeyError` where one is missing."""
        told = [self.by_image[image].probabilities for image in index.images]
        return Predictions(index.labels, np.array(told, dtype=np.float64), index.lesions)

    def milliseconds(self, index: Index) -> NDArray[np.float64]:
        """How long each answer took, [n]."""
        return np.array([self.by_image[image].milliseconds for image in index.images])


def key(described: Mapping[str, Any], archive_sha256: str, images: str) -> str:
    """Answers with the same key answer the same question: the same archive, the same `images`.

    `described` is the version's `entry.json` (weights and split by their sha256); `archive_sha256` may be unknown ("").
    """
    said = json.dumps([described, archive_sha256, images], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def read(file: Path) -> Answers | None:
    """The answers in `file`, all of whose whole lines count; none if there is no such file, or none of ours."""
    try:
        lines = file.read_bytes().split(b"\n")[:-1]  # behind the last line end is nothing, or a line cut short
        header = json.loads(lines[0])
        rows = [json.loads(line) for line in lines[1:]]
        by_image = {row["image"]: Answer(row["ms"], row["probabilities"]) for row in rows}
        return Answers(header["entry"], header["asked"], by_image)
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return None


class Collection:
    """Collects the answers of one version into `file`, going on where an earlier run with the same `asked` stopped."""

    def __init__(self, file: Path, described: Mapping[str, Any], asked: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        earlier = read(file)
        goes_on = earlier is not None and earlier.asked == asked
        self.answered = set(earlier.by_image) if earlier is not None and goes_on else set[str]()
        if goes_on:
            content = file.read_bytes()
            self._file: BinaryIO = file.open("r+b")
            self._file.truncate(content.rindex(b"\n") + 1)
            self._file.seek(0, 2)
        else:
            self._file = file.open("wb")
            self._write({"asked": asked, "entry": described})
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, image: str, milliseconds: float, probabilities: Sequence[float]) -> None:
        """Write one answer down; from any thread, once an image."""
        with self._alone:
            self.answered.add(image)
            self._write({"image": image, "ms": round(milliseconds, 2), "probabilities": list(probabilities)})

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
