"""From a finished run to its record."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from compare.records.record import (
    DECIMALS,
    AnyRecord,
    ClassifierRecord,
    GeneratorRecord,
    RecordError,
    Settings,
    Tested,
)
from lesions import split
from lesions.index import DataError
from lesions.labels import CLASSES
from zoo import generator_recipe, recipe
from zoo.build.listing import describe_options
from zoo.entry import Entry
from zoo.packaging import card
from zoo.recipe import Data
from zoo.study import Folders, StudyError


def finished(folders: Folders, catalog: dict[str, Entry]) -> list[str]:
    """The entries of the `catalog` that were trained in a study: weights are written last."""
    return [
        name
        for name in catalog
        if (folders.run(name) / "weights.safetensors").is_file() and _taken_from(folders.run(name)) is None
    ]


def _taken_from(run: Path) -> str | None:
    """The study that trained what lies in `run`, if it was another one."""
    try:
        return _json(run / "training.json").get("taken_from")
    except (OSError, TypeError, ValueError):  # of which `record` has more to say
        return None


def record(folders: Folders, name: str, entry: Entry) -> AnyRecord:
    """The record of the entry `name` as it was trained.

    Raises `RecordError` where it is not trained, where recipe, weights, scores, predictions and split are not all of
    one training, or where a file is damaged or of another version of the zoo.
    """
    try:
        return _record(folders, name, entry)
    except (DataError, StudyError):
        raise
    except (KeyError, TypeError, ValueError) as error:  # JSON that is none, or that lacks what is wanted
        reason = str(error).splitlines()[0]
        raise RecordError(f"{name}: what its training wrote cannot be read ({reason}); train it again") from None


def _record(folders: Folders, name: str, entry: Entry) -> AnyRecord:
    run, study = folders.run(name), folders.read()
    if (other := _taken_from(run)) is not None:
        raise RecordError(f"{name} was trained in the study {other}, and is recorded there: --study {other}")
    try:
        described = card.entry(folders, name)
        training, report = (_json(run / f"{file}.json") for file in ("training", "scores"))
        data = Data.model_validate_json(folders.described.read_bytes())
        parts_sha256 = hashlib.sha256(folders.split.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise RecordError(f"{name} is not trained in study {folders.name!r}: no {error.filename}") from None
    except StudyError as error:
        raise RecordError(str(error)) from None
    settled = described["recipe"]
    for what, now in (("split_sha256", parts_sha256), ("split_sha256", data.split_sha256)):
        if settled[what] != now:
            raise RecordError(f"{name}: trained on another split than {folders.split} holds; run `make zoo` again")
    weights = study.weights if study.weights in ("imagenet", "procedural") else Path(study.weights).name
    known: dict[str, Any] = {
        "entry": name,
        "study": folders.name,
        "settings": Settings.model_validate(study.model_dump() | {"data": study.data_name, "weights": weights}),
        "about": described["about"],
        "differs": describe_options(entry),
        "thesis": described["thesis"],
        **{key: described[key] for key in ("commit", "versions", "hardware", "weights_sha256", "data_licence")},
        "seconds": training["seconds"],
    }
    if described["kind"] == "generator":
        kept = ("features", "precision", "steps", "failed", "best_step", "floor", "best", "last")
        return GeneratorRecord(
            **known,
            recipe=generator_recipe.read(run / "recipe.json"),
            **{key: report[key] for key in (*kept, "distance_to_training")},
        )
    made = ClassifierRecord(
        **known,
        recipe=recipe.read(run / "recipe.json"),
        counts=data.counts,
        **{key: report[key] for key in ("best_epoch", "valid", "test")},
        **{f"last_{part}": report["last_epoch"][part] for part in ("valid", "test")},
        calibration=report.get("calibration"),
        images=tested(name, run / "predictions.csv", folders.split),
    )
    if made.confusion != made.test.confusion:
        raise RecordError(f"{name}: predictions.csv and scores.json are not of one training; run `make zoo` again")
    return made


def tested(name: str, predictions: Path, parts: Path) -> list[Tested]:
    """The rows of the test images in `predictions`, with what the split file `parts` knows of them, in its order."""
    with parts.open(encoding="utf-8", newline="") as lines:
        known = list(csv.DictReader(lines))
    try:
        with predictions.open(encoding="utf-8", newline="") as lines:
            said = {row["image"]: row for row in csv.DictReader(lines) if row["part"] == "test"}
    except FileNotFoundError:
        raise RecordError(f"{name}: no {predictions}; run `make zoo` again") from None
    learned = {row["lesion"] for row in known if row["part"] in ("train", split.PART_NAMES[split.LEFT_OUT])}
    wanted = [row for row in known if row["part"] == "test"]
    if {row["image"]: row["label"] for row in wanted} != {image: row["label"] for image, row in said.items()}:
        raise RecordError(f"{name}: {predictions} is not of the split's test images; run `make zoo` again")
    told = np.array([[float(said[row["image"]][label]) for label in CLASSES] for row in wanted])
    decimals = next((n for n in DECIMALS if (told.round(n).argmax(1) == told.argmax(1)).all()), DECIMALS[-1])
    return [
        Tested(row["image"], row["lesion"], row["label"], row["lesion"] in learned, chances)
        for row, chances in zip(wanted, told.round(decimals).tolist(), strict=True)
    ]


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
