"""A run on disk as training leaves it, from a made-up record."""

import hashlib
import json
import struct
from pathlib import Path

from compare.records.record import ClassifierRecord
from zoo.study import Folders, Study

MODEL = b"a model, which no record reads"


def leave(root: Path, record: ClassifierRecord, study: Study) -> Folders:
    """Write the study and the run of `record` below `root`, as training would have; `study` is that of the record."""
    folders = Folders(record.study, root)
    run = folders.run(record.entry)
    run.mkdir(parents=True)
    parts = ["image,lesion,label,part"]
    predictions = ["image,part,label,akiec,bcc,bkl,df,mel,nv,vasc"]
    for image in record.images:
        parts.append(f"{image.image},{image.lesion},{image.label},test")
        probabilities = ",".join(f"{value:.7f}" for value in image.probabilities)
        predictions.append(f"{image.image},test,{image.label},{probabilities}")
    for image in record.images:
        if image.sibling:
            where = "train" if study.split == "thesis" else "left out"
            parts.append(f"SIBLING_{image.image},{image.lesion},{image.label},{where}")
    parts.append("OTHER,HAM_other,nv,train")
    folders.split.write_text("\n".join(parts) + "\n")
    (run / "predictions.csv").write_text("\n".join(predictions) + "\n")
    (folders.runs / "study.json").write_text(study.model_dump_json())
    split_sha256 = hashlib.sha256(folders.split.read_bytes()).hexdigest()
    recipe = record.recipe.model_copy(update={"split_sha256": split_sha256})
    described = {"store_sha256": "0" * 64, "split_sha256": split_sha256, "counts": record.counts}
    folders.data.write_text(json.dumps(described | {"mean": [0.5] * 3, "deviation": [0.1] * 3}))
    (run / "recipe.json").write_text(recipe.text)
    thesis = record.thesis and record.thesis.model_dump()
    (run / "about.json").write_text(json.dumps({"kind": record.kind, "about": record.about, "thesis": thesis}))
    report = {
        "recipe_sha256": recipe.sha256,
        "model_sha256": hashlib.sha256(MODEL).hexdigest(),
        "mean": [0.5] * 3,
        "deviation": [0.1] * 3,
        "best_epoch": record.best_epoch,
        "valid": record.valid.model_dump(),
        "test": record.test.model_dump(),
        "last_epoch": {"valid": record.valid.model_dump(), "test": record.test.model_dump()},
    }
    (run / "model.onnx").write_bytes(MODEL)
    (run / "scores.json").write_text(json.dumps(report))
    training = {key: getattr(record, key) for key in ("commit", "versions", "hardware", "seconds")}
    (run / "training.json").write_text(json.dumps(training | {"began": "2026-01-01T00:00:00+00:00"}))
    origin = {"__metadata__": {"origin": json.dumps({"recipe_sha256": recipe.sha256})}}
    header = json.dumps(origin | {"empty": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    (run / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folders
