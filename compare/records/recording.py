"""Make records of finished runs."""

import json
from pathlib import Path
from typing import Any

from compare.records.record import (
    DECIMALS,
    AnyRecord,
    ClassifierRecord,
    GeneratorRecord,
    ImageRecord,
    Record,
    RecordError,
    Settings,
)
from lesions import split
from lesions.errors import UserError
from lesions.files import sha256
from lesions.labels import CLASSES
from zoo.build.listing import describe_options
from zoo.kinds import KINDS, Entry
from zoo.kinds.base import Data
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.metrics import predictions
from zoo.packaging import card
from zoo.study import Folders


def finished(folders: Folders, catalog: dict[str, Entry]) -> list[str]:
    """The entries of the `catalog` that were trained in a study: weights are written last."""
    return [
        name
        for name in catalog
        if (folders.run(name) / "weights.safetensors").is_file() and _taken_from(folders.run(name)) is None
    ]


def _taken_from(run: Path) -> str | None:
    """The study that trained `run`, if it was another one."""
    try:
        return _json(run / "training.json").get("taken_from")
    except (OSError, TypeError, ValueError):  # `record` reports it
        return None


def record(folders: Folders, name: str, entry: Entry) -> AnyRecord:
    """The record of the entry `name` as it was trained.

    Raises `RecordError` where it is not trained, where recipe, weights, scores, predictions and split are not all of
    one training, or where a file is damaged or of another version of the zoo.
    """
    try:
        return _record(folders, name, entry)
    except FileNotFoundError as error:
        raise RecordError(f"{name} is not trained in study {folders.name!r}: no {error.filename}") from None
    except UserError as error:
        raise RecordError(str(error)) from None
    except (KeyError, TypeError, ValueError) as error:  # not JSON, or a field is missing
        reason = str(error).splitlines()[0]
        raise RecordError(f"{name}: what its training wrote cannot be read ({reason}); train it again") from None


def _record(folders: Folders, name: str, entry: Entry) -> AnyRecord:
    run, study = folders.run(name), folders.read()
    if (other := _taken_from(run)) is not None:
        raise RecordError(f"{name} was trained in the study {other}, and is recorded there: --study {other}")
    described = card.entry(folders, name)
    training, report = (_json(run / f"{file}.json") for file in ("training", "scores"))
    data = Data.model_validate_json(folders.data.read_bytes())
    split_sha256 = sha256(folders.split)
    if not described["recipe"]["split_sha256"] == split_sha256 == data.split_sha256:
        raise RecordError(f"{name}: trained on another split than {folders.split} holds; run `make zoo` again")
    weights = study.weights if study.weights == "imagenet" else Path(study.weights).name
    same = ("entry", "study", "about", "thesis", "commit", "versions", "hardware", "weights_sha256", "data_licence")
    fields: dict[str, Any] = {key: described[key] for key in same} | {
        "settings": Settings.model_validate(study.model_dump() | {"data": study.data_name, "weights": weights}),
        "differs": describe_options(entry),
        "seconds": training["seconds"],
        "recipe": KINDS[described["kind"]].recipe.read(run / "recipe.json"),
    }
    if described["kind"] == GENERATOR.name:
        own = GeneratorRecord.model_fields.keys() - Record.model_fields.keys() - {"kind", "recipe"}
        return GeneratorRecord(**fields, **{key: report[key] for key in own})
    fields |= {key: report.get(key) for key in ("valid", "test", "challenge")}
    last = report["last_epoch"] if described["kind"] == CLASSIFIER.name else {}
    result = ClassifierRecord(
        **fields,
        counts=data.counts,
        best_epoch=report.get("best_epoch", 0),
        last_valid=last.get("valid"),
        last_test=last.get("test"),
        malignancy=report.get("malignancy", {}).get("test"),
        calibration=report.get("calibration"),
        images=image_records(name, run / "predictions.csv", folders.split),
    )
    if result.confusion != result.test.confusion:
        raise RecordError(f"{name}: predictions.csv and scores.json are not of one training; run `make zoo` again")
    return result


def image_records(name: str, predictions_file: Path, split_file: Path) -> list[ImageRecord]:
    """The test images of a split and their probabilities in the predictions of `name`, in the order of the split.

    Raises `DataError` where a file is damaged, `RecordError` where the two are of different test images.
    """
    loaded = split.load(split_file)
    test, table = loaded.part("test"), predictions.read(predictions_file).part("test")
    rows = {image: row for row, image in enumerate(table.images)}
    if dict(zip(test.images, test.labels, strict=True)) != dict(zip(table.images, table.labels, strict=True)):
        raise RecordError(f"{name}: {predictions_file} is not of the split's test images; run `make zoo` again")
    siblings = {*loaded.part("train").lesions, *loaded.part(split.PART_NAMES[split.LEFT_OUT]).lesions}
    probabilities = table.probabilities[[rows[image] for image in test.images]]
    predicted = probabilities.argmax(1)
    decimals = next((n for n in DECIMALS if (probabilities.round(n).argmax(1) == predicted).all()), DECIMALS[-1])
    return [
        ImageRecord(image, lesion, CLASSES[label], lesion in siblings, rounded)
        for image, lesion, label, rounded in zip(
            test.images, test.lesions, test.labels, probabilities.round(decimals).tolist(), strict=True
        )
    ]


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
