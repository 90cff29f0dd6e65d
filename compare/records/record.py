"""Records: the measurements of each trained entry, in small committed files: `docs/results/<study>/NAME.json`.

Tables, pictures and paired tests are made from these files alone, without weights or images. They hold no image; names
of images and lesions, and classes, are HAM10000's.
"""

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sklearn.metrics import confusion_matrix

from lesions.files import write_if_changed
from lesions.index import DataError
from lesions.labels import CLASSES
from zoo.kinds.base import Parent, Thesis
from zoo.kinds.classifier import ClassifierRecipe
from zoo.kinds.ensemble import EnsembleRecipe
from zoo.kinds.generator import Chooser, GeneratorRecipe
from zoo.metrics.challenge import ChallengeScore
from zoo.metrics.malignancy import MalignancyScore
from zoo.metrics.scores import Scores
from zoo.study import Study

RESULTS = Path("docs") / "results"
"""The folder of the records, below the root of the checkout."""
AGAIN = "record it again: python -m compare record"
"""The advice in errors."""
DIGITS = 6
"""Decimals of scores in a record."""
DECIMALS = range(4, 8)
"""Decimals of probabilities: the fewest of these that change no predicted class; training wrote seven."""
CLOSED = ConfigDict(frozen=True, extra="forbid")


class RecordError(DataError):
    """A run that cannot be recorded, or records that do not belong together; the message says what to do."""


class Settings(Study):
    """The settings of a study, with names in the place of a machine's paths; its `name` is the one of `make zoo`."""

    def without(self, *keys: str) -> str:
        """All settings but those named `keys`, as one string: equal for studies that differ in these alone."""
        return self.model_dump_json(exclude=set(keys))


class ImageRecord(NamedTuple):
    """One test image and its predicted probabilities."""

    image: str
    lesion: str
    label: str
    """Its true class."""
    sibling: bool
    """Whether its lesion is also in training, or would be if siblings of test images were not left out."""
    probabilities: list[float]
    """Calibrated probabilities [7], rounded."""


class Record(BaseModel):
    """One trained entry: what classifiers and generators have in common."""

    model_config = CLOSED

    entry: str
    study: str
    settings: Settings
    about: str
    differs: str
    """The options that differ from the baseline, in few words."""
    thesis: Thesis | None
    commit: str | None
    """The commit of the code when training began."""
    versions: dict[str, str]
    hardware: str
    seconds: float
    """Duration of training, interruptions not counted."""
    weights_sha256: str
    data_licence: str | None


class ClassifierRecord(Record):
    """One trained classifier."""

    kind: Literal["classifier"] = "classifier"
    recipe: ClassifierRecipe | EnsembleRecipe
    counts: dict[str, list[int]]
    """Images of each class, for each part of the split."""
    best_epoch: int
    """From 1; chosen on validation, or the last. 0 where nothing was trained."""
    valid: Scores
    test: Scores
    last_valid: Scores | None
    """The last epoch's, uncalibrated; none of an ensemble."""
    last_test: Scores | None
    calibration: dict[str, Any] | None
    """As `zoo.metrics.calibration.Calibration`, without fields that are none."""
    images: list[ImageRecord]
    """Every test image."""
    challenge: dict[str, ChallengeScore] | None = None
    """The ISIC challenge's scores of the test images, by class; none in older records, as the next one."""
    malignancy: MalignancyScore | None = None
    """Of the test images; thresholds were chosen on validation."""

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """True classes [n]."""
        return np.array([CLASSES.index(image.label) for image in self.images], dtype=np.int64)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted classes [n]."""
        return np.asarray(np.array([image.probabilities for image in self.images]).argmax(1), dtype=np.int64)

    @property
    def lesions(self) -> list[str]:
        """Lesion names, n of them."""
        return [image.lesion for image in self.images]

    @property
    def parent(self) -> str:
        """The entry that training goes on from; empty if it starts from other weights."""
        start = self.recipe.start if isinstance(self.recipe, ClassifierRecipe) else None
        return start.entry if isinstance(start, Parent) else ""

    @property
    def made_from(self) -> dict[str, str]:
        """The digests of the recipes of its parent, or of its members, by entry."""
        if isinstance(self.recipe, EnsembleRecipe):
            return self.recipe.members
        return {} if self.recipe.parent_sha256 is None else {self.parent: self.recipe.parent_sha256}

    def same_recipe(self, other: "ClassifierRecord", *but: str) -> bool:
        """Whether two recipes, their data and split included, are equal in all fields `but` these."""
        return self.recipe.model_dump(exclude=set(but)) == other.recipe.model_dump(exclude=set(but))

    @property
    def confusion(self) -> list[list[int]]:
        """Counts by the images: rows are the true class."""
        counts: list[list[int]] = confusion_matrix(self.labels, self.predicted, labels=range(len(CLASSES))).tolist()
        return counts


class GeneratorRecord(Record):
    """One trained generator; its quality is as `gan.quality.Quality` has it."""

    kind: Literal["generator"] = "generator"
    recipe: GeneratorRecipe
    features: str
    """The network whose features it was measured by."""
    precision: str
    """The number format of training, such as `fp32`."""
    steps: int
    failed: bool
    """Whether its losses were not finite in the end."""
    best_step: int
    floor: dict[str, Any]
    """The measurements of real training images in the place of synthetic ones."""
    best: dict[str, Any]
    last: dict[str, Any]
    best_by: Chooser = "kid"
    distance_to_training: dict[str, float | None]
    """By class; none where it is not finite, as in the measurements above."""


AnyRecord = ClassifierRecord | GeneratorRecord
_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def text(record: AnyRecord) -> str:
    """The content of the record's file, the same bytes for the same record: each test image is a line."""
    new = {"challenge", "malignancy"} - {key for key, value in record if value is not None}
    fields = _rounded(record.model_dump(mode="json", exclude={"images", *new}))
    head = json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False)
    if isinstance(record, GeneratorRecord):
        return head + "\n"
    rows = (json.dumps(list(image), separators=(",", ":"), ensure_ascii=False) for image in record.images)
    return head.removesuffix("\n}") + ',\n "images": [\n' + ",\n".join(rows) + "\n ]\n}\n"


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS) if math.isfinite(value) else None  # of a generator whose training failed
        case dict():
            # A recipe is no measurement: a learning rate may be 1e-7.
            return {key: item if key in ("recipe", "thesis") else _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
    return value


def save(folder: Path, record: AnyRecord) -> Path:
    """Write the file of `record` below `folder` if its content changes; return its path."""
    file = _file(folder, record)
    write_if_changed(file, text(record))
    return file


def differing(folder: Path, record: AnyRecord) -> list[str] | None:
    """The fields in which `record` differs from its file below `folder`; none where there is no file.

    Training again on the same machine changes the seconds, perhaps the commit, and nothing else.
    """
    try:
        before = json.loads(_file(folder, record).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:  # damaged
        before = {}
    now = json.loads(text(record))
    return [key for key in now if not isinstance(before, dict) or key not in before or before[key] != now[key]]


def _file(folder: Path, record: AnyRecord) -> Path:
    return folder / record.study / f"{record.entry}.json"


def load(file: Path) -> AnyRecord:
    """The record in `file`. Raises `RecordError` where it is damaged, or its scores are not those of its images."""
    try:
        record = _RECORD.validate_json(file.read_bytes())
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"][1:]))
        raise RecordError(f"{file}: no record: {place or 'file'}: {problem['msg']}; {AGAIN}") from None
    if (record.study, record.entry) != (file.parent.name, file.stem):
        raise RecordError(f"{file}: this is the record of {record.entry} in {record.study}; records are not renamed")
    if isinstance(record, ClassifierRecord) and record.confusion != record.test.confusion:
        raise RecordError(f"{file}: its scores are not those of its images; {AGAIN}")
    return record
