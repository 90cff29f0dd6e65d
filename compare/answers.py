"""The answers of served versions: a file for each, written line by line, so that an interruption loses nothing."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lesions.index import Index

if TYPE_CHECKING:
    from zoo.metrics.scores import Predictions


class Answer(NamedTuple):
    """One answer, as the client saw it."""

    milliseconds: float
    """From the request to the answer, further tries included."""
    probabilities: list[float]
    """[7], in the order of `CLASSES`."""


class Answers(NamedTuple):
    """The answers of one version."""

    described: dict[str, Any]
    """Its `entry.json`."""
    key: str
    """As `key` makes it of version, archive and images."""
    by_image: dict[str, Answer]
    images: str = ""
    """The digest of the images that were asked about; empty in older files."""

    def predictions(self, index: Index) -> "Predictions":
        """The answers to the images of `index`, in its order. Raises `KeyError` where one is missing."""
        from zoo.metrics.scores import Predictions  # scikit-learn: a machine that only serves lacks it

        probabilities = np.array([self.by_image[image].probabilities for image in index.images], dtype=np.float64)
        return Predictions(index.labels, probabilities, index.lesions)

    def milliseconds(self, index: Index) -> NDArray[np.float64]:
        """How long each answer took, [n]."""
        return np.array([self.by_image[image].milliseconds for image in index.images])


def key(described: Mapping[str, Any], archive_sha256: str, images: str) -> str:
    """The key of answers: the same for the same archive and the same `images`.

    `described` is the version's `entry.json` (weights and split by their sha256); `archive_sha256` may be unknown ("").
    """
    return hashlib.sha256(json.dumps([described, archive_sha256, images], sort_keys=True).encode()).hexdigest()


def read(file: Path) -> Answers | None:
    """The answers in `file`, those of all complete lines; none where there is no such file, or it is another one."""
    try:
        lines = file.read_bytes().split(b"\n")[:-1]  # behind the last line end is nothing, or a line cut short
        header = json.loads(lines[0])
        rows = [json.loads(line) for line in lines[1:]]
        by_image = {row["image"]: Answer(row["ms"], row["probabilities"]) for row in rows}
        return Answers(header["entry"], header["asked"], by_image, header.get("images", ""))
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return None


class Collection:
    """The file of answers of one version, open to add more; those that an earlier run with the same key got stay."""

    def __init__(self, file: Path, described: Mapping[str, Any], key: str, images: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        earlier = read(file)
        self.answered: set[str] = set()
        self._lock = threading.Lock()
        if earlier is not None and earlier.key == key:
            self.answered.update(earlier.by_image)
            self._file: BinaryIO = file.open("r+b")
            self._file.truncate(file.read_bytes().rindex(b"\n") + 1)
            self._file.seek(0, 2)
        else:
            self._file = file.open("wb")
            self._write({"asked": key, "images": images, "entry": described})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, image: str, milliseconds: float, probabilities: Sequence[float]) -> None:
        """Write one answer; from any thread, once for each image."""
        with self._lock:
            self.answered.add(image)
            self._write({"image": image, "ms": round(milliseconds, 2), "probabilities": list(probabilities)})

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
