"""All records of a study, loaded and checked together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compare.records.record import AGAIN, AnyRecord, ClassifierRecord, GeneratorRecord, RecordError, Settings, load
from zoo.build.listing import section_key


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


def load_all(folder: Path) -> list[StudyRecords]:
    """Every study below `folder`, by name; records in the thesis's order.

    Raises `RecordError` for a file that is no record, and where those of a study are of different settings or images,
    or one went on from an entry that is not recorded.
    """
    studies: dict[str, StudyRecords] = {}
    files = {file: load(file) for file in folder.glob("*/*.json")}
    for file, record in sorted(
        files.items(), key=lambda item: (item[1].study, section_key(item[1].thesis), item[1].entry)
    ):
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
