"""All records of a study, loaded and checked together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compare.records.record import AGAIN, AnyRecord, ClassifierRecord, GeneratorRecord, RecordError, Settings, load
from zoo.build.listing import section_key
from zoo.kinds.base import Thesis

STEPS = ("transfer", "augmented", "one_cycle", "adjusted", "views", "lite1", "lite2", "ensemble")
"""Entries of which each has one change over the one before; each is compared with the last one before that is there."""


@dataclass(frozen=True)
class StudyRecords:
    """The records of one study, by entry."""

    name: str
    settings: Settings
    classifiers: dict[str, ClassifierRecord] = field(default_factory=dict)
    generators: dict[str, GeneratorRecord] = field(default_factory=dict)

    @property
    def records(self) -> Mapping[str, AnyRecord]:
        """Those of both kinds."""
        return self.classifiers | self.generators


def place(name: str, thesis: Thesis | None) -> tuple[list[int], int, str]:
    """A key to sort entries by: the thesis's sections, then `STEPS`, then the others by name."""
    return section_key(thesis), STEPS.index(name) if name in STEPS else len(STEPS), name


def load_all(folder: Path) -> list[StudyRecords]:
    """Every study below `folder`, by name; records in the order of `place`.

    Raises `RecordError` for a file that is no record, and where those of a study are of different settings or images,
    or one went on from an entry that is not recorded.
    """
    studies: dict[str, StudyRecords] = {}
    files = {file: load(file) for file in folder.glob("*/*.json")}
    for file, record in sorted(files.items(), key=lambda item: (item[1].study, place(item[1].entry, item[1].thesis))):
        study = studies.setdefault(record.study, StudyRecords(record.study, record.settings))
        first = next(iter(study.records.values()), record)
        if _origin(record) != _origin(first):
            raise RecordError(f"{file}: other settings, images or split than those of {first.entry}; {AGAIN}")
        if isinstance(record, GeneratorRecord):
            study.generators[record.entry] = record
            continue
        other = next(iter(study.classifiers.values()), record)
        if not same_images(record, other):
            raise RecordError(f"{file}: other test images than those of {other.entry}; {AGAIN}")
        study.classifiers[record.entry] = record
    for study in studies.values():
        _check_parents(folder, study)
    return list(studies.values())


def _origin(record: AnyRecord) -> tuple[Settings, str, str]:
    """What is the same for all records of a study."""
    return record.settings, record.recipe.split_sha256, record.recipe.store_sha256


def _check_parents(folder: Path, study: StudyRecords) -> None:
    """Raise `RecordError` for an entry without the records of its parent or members: what it was made of is unknown."""
    for name, record in study.classifiers.items():
        for before, sha256 in record.made_from.items():
            other = study.classifiers.get(before)
            if other is None or other.recipe.sha256 != sha256:
                raise RecordError(
                    f"{folder / study.name / before}.json: {name} was made from {before}, and this is not its record; "
                    f"{AGAIN} {before}"
                )


def same_images(record: ClassifierRecord, other: ClassifierRecord) -> bool:
    """Whether both are of the same test images, in the same order, so that they can be paired."""
    return [image[:4] for image in record.images] == [image[:4] for image in other.images]
