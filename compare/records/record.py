"""Records: what was measured of each trained entry, in small committed files: `docs/results/<study>/NAME.json`.

Tables, pictures and paired tests are made from these files alone, where there are neither weights nor images. They hold
no image; names of images and lesions, and classes, are HAM10000's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lesions.files import write_if_changed
from lesions.index import DataError
from lesions.labels import CLASSES
from lesions.split import SplitName
from zoo.build.listing import section_key
from zoo.entry import Thesis
from zoo.generator_recipe import GeneratorRecipe
from zoo.metrics.scores import Scores
from zoo.recipe import Recipe
from zoo.study import Study

RESULTS = Path("docs") / "results"
"""Where they are, below the root of the checkout."""

DIGITS = 6
"""Decimals of scores in a record."""

DECIMALS = range(4, 8)
"""Of probabilities: as few of these as leave every predicted class what it is; training wrote seven."""

CLOSED = ConfigDict(frozen=True, extra="forbid")


class RecordError(DataError):
    """A run that cannot be recorded, or records that do not belong together; `str()` says what to do."""


class Settings(BaseModel):
    """Those of `zoo.study.Study`, with names in the place of a machine's paths."""

    model_config = CLOSED

    data: str
    scale: Literal["demo", "small", "paper"]
    split: SplitName
    weights: str
    """`imagenet`, `procedural`, or a file's name."""
    arch: str
    seed: int
    generator_seed: int = 123
    threads: int

    @property
    def usual_name(self) -> str:
        """The name that `make zoo` gives to a study of these settings."""
        given = self.model_dump()
        if self.data != "phantom":
            given["data"] = f"/{self.data}"
        return Study.model_validate(given).name

    def but(self, *keys: str) -> str:
        """All settings but those named `keys`, as one string: equal for studies that differ in nothing else."""
        return self.model_dump_json(exclude=set(keys))


class Tested(NamedTuple):
    """One test image, and what was said of it."""

    image: str
    lesion: str
    label: str
    """Its true class."""
    sibling: bool
    """Whether its lesion is also in training, or was before the siblings of test images were left out."""
    probabilities: list[float]
    """Seven, calibrated, rounded."""


class Record(BaseModel):
    """What is known of a training of either kind."""

    model_config = CLOSED

    entry: str
    study: str
    settings: Settings
    about: str
    differs: str
    """What differs from the baseline, in few words."""
    thesis: Thesis | None
    commit: str | None
    """At which training began."""
    versions: dict[str, str]
    hardware: str
    seconds: float
    """Of training, interruptions not counted."""
    weights_sha256: str
    data_licence: str | None


class ClassifierRecord(Record):
    """One trained classifier."""

    kind: Literal["classifier"] = "classifier"
    recipe: Recipe
    counts: dict[str, list[int]]
    """Images of each class, for each part of the split."""
    best_epoch: int
    """From 1; chosen on validation."""
    valid: Scores
    test: Scores
    last_valid: Scores
    """The last epoch's, uncalibrated."""
    last_test: Scores
    calibration: dict[str, Any] | None
    """As `zoo.metrics.calibration.Calibration`, without what is none."""
    images: list[Tested]
    """Every test image."""

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """True classes [n]."""
        return np.array([CLASSES.index(one.label) for one in self.images], dtype=np.int64)

    @cached_property
    def said(self) -> NDArray[np.int64]:
        """Predicted classes [n]."""
        return np.asarray(np.array([one.probabilities for one in self.images]).argmax(1), dtype=np.int64)

    @property
    def lesions(self) -> list[str]:
        """Lesion names, n of them."""
        return [one.lesion for one in self.images]

    @property
    def confusion(self) -> list[list[int]]:
        """Counts by the images: rows are the true class."""
        counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
        np.add.at(counts, (self.labels, self.said), 1)
        return [[int(n) for n in row] for row in counts]


class GeneratorRecord(Record):
    """One trained generator; its quality is as `gan.quality.Quality` has it."""

    kind: Literal["generator"] = "generator"
    recipe: GeneratorRecipe
    features: str
    """Whose features it was measured by."""
    precision: str
    """Of arithmetic."""
    steps: int
    failed: bool
    """Whether its losses were no numbers in the end."""
    best_step: int
    floor: dict[str, Any]
    """What real training images get in the place of synthetic ones."""
    best: dict[str, Any]
    last: dict[str, Any]
    distance_to_training: dict[str, float | None]
    """By class; none where it is no number, as in the measurements above."""


AnyRecord = ClassifierRecord | GeneratorRecord
_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def text(record: AnyRecord) -> str:
    """The file's content, the same bytes for the same record: each test image is a line."""
    said = _rounded(record.model_dump(mode="json", exclude={"images"}))
    head = json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)
    if isinstance(record, GeneratorRecord):
        return head + "\n"
    rows = (json.dumps(list(one), separators=(",", ":"), ensure_ascii=False) for one in record.images)
    return head.removesuffix("\n}") + ',\n "images": [\n' + ",\n".join(rows) + "\n ]\n}\n"


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS) if math.isfinite(value) else None  # of a generator that went astray
        case dict():
            # What is settled, a learning rate of 1e-7 perhaps, is no measurement.
            return {key: one if key in ("recipe", "thesis") else _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


def save(folder: Path, record: AnyRecord) -> Path:
    """Write `record` below `folder`, unless it is there already; return its file."""
    file = _file(folder, record)
    write_if_changed(file, text(record))
    return file


def differing(folder: Path, record: AnyRecord) -> list[str] | None:
    """In which of its fields `record` differs from what lies below `folder`; none where no record of it lies there.

    Whoever trains again on the same machine finds other seconds, and another commit perhaps, and nothing else.
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
    """The record in `file`. Raises `RecordError` where it is none, or its scores are not those of its images."""
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


AGAIN = "record it again: python -m compare record"


@dataclass(frozen=True)
class Recorded:
    """All records of one study, by entry."""

    name: str
    settings: Settings
    classifiers: dict[str, ClassifierRecord] = field(default_factory=dict)
    generators: dict[str, GeneratorRecord] = field(default_factory=dict)

    @property
    def records(self) -> Mapping[str, AnyRecord]:
        """Of both kinds."""
        return self.classifiers | self.generators


def load_all(folder: Path) -> list[Recorded]:
    """Every study below `folder`, by name; records in the thesis's order.

    Raises `RecordError` for a file that is no record, and where those of a study are of different settings or images,
    or one went on from an entry that is not recorded.
    """
    found: dict[str, Recorded] = {}
    files = {file: load(file) for file in folder.glob("*/*.json")}
    for file, record in sorted(
        files.items(), key=lambda item: (item[1].study, section_key(item[1].thesis), item[1].entry)
    ):
        study = found.setdefault(record.study, Recorded(record.study, record.settings))
        first = next(iter(study.records.values()), record)
        if (record.settings, record.recipe.split_sha256, record.recipe.store_sha256) != (
            first.settings,
            first.recipe.split_sha256,
            first.recipe.store_sha256,
        ):
            raise RecordError(f"{file}: other settings, images or split than those of {first.entry}; {AGAIN}")
        if isinstance(record, GeneratorRecord):
            study.generators[record.entry] = record
            continue
        for other in study.classifiers.values():
            if not same_images(record, other):
                raise RecordError(f"{file}: other test images than those of {other.entry}; {AGAIN}")
            break
        study.classifiers[record.entry] = record
    for study in found.values():
        _check_parents(folder, study)
    return list(found.values())


def _check_parents(folder: Path, study: Recorded) -> None:
    """Without its parent nothing can be said of what an entry has seen, and what it is to be compared with."""
    for name, record in study.classifiers.items():
        if record.recipe.parent_sha256 is None:
            continue
        parent = record.recipe.start.removeprefix("parent ")
        known = study.classifiers.get(parent)
        if known is None or known.recipe.sha256 != record.recipe.parent_sha256:
            missing = folder / study.name / f"{parent}.json"
            raise RecordError(f"{missing}: {name} went on from {parent}, and this is not its record; {AGAIN} {parent}")


def same_images(one: ClassifierRecord, other: ClassifierRecord) -> bool:
    """Whether both are of the same test images, in the same order, so that they can be paired."""
    return [tested[:4] for tested in one.images] == [tested[:4] for tested in other.images]
