"""What an archive says of itself: `entry.json`, with recipe, scores and where everything came from."""

import hashlib
import json
from typing import Any

from lesions.labels import CLASSES, DATA_LICENCE, NOTICE
from zoo import recipe
from zoo.study import Folders


def entry(folders: Folders, name: str) -> dict[str, Any]:
    """The `entry.json` of a trained entry. Raises `FileNotFoundError` where it is not trained."""
    run, study = folders.run(name), folders.read()
    resolved = recipe.read(run / "recipe.json")
    report = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    about = json.loads((run / "about.json").read_text(encoding="utf-8"))
    training = json.loads((run / "training.json").read_text(encoding="utf-8"))
    phantom = study.data == "phantom"
    return {
        "entry": name,
        "study": folders.name,
        "kind": "classifier",
        "about": about["about"],
        "thesis": about["thesis"],
        "notice": NOTICE,
        "data": "phantom: procedural pictures, no patients' data" if phantom else study.data_name,
        "data_licence": None if phantom else DATA_LICENCE,
        "architecture": resolved.architecture,
        "pixels": resolved.pixels,
        "classes": list(CLASSES),
        "mean": report["mean"],
        "deviation": report["deviation"],
        "recipe": resolved.model_dump(),
        "scores": {key: report[key] for key in ("best_epoch", "valid", "test", "last_epoch")},
        "weights_sha256": hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest(),
        "split_sha256": resolved.split_sha256,
        "versions": training["versions"],
        "hardware": training["hardware"],
        "commit": training["commit"],
    }
