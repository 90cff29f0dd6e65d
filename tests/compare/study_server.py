"""A study of two versions on the tiny data, and a stand-in for its server."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
from numpy.typing import NDArray

from compare.client import Zoo
from compare.labeled import LabeledImages, held_out_images
from lesions import split
from lesions.labels import CLASSES, NOTICE
from lesions.sources import open_source
from tests.servers import connect
from zoo.study import Folders, Study

Trouble = Callable[[str, str], httpx.Response | Exception | None]

QUALITY = {"baseline": 0.5, "transfer": 0.95}
"""How often each version is right."""

CALIBRATION = {
    "temperature": 2.0,
    "uncalibrated": {
        "valid": {"macro_f1": 0.9, "ece": 0.3, "nll": 0.7},
        "test": {"macro_f1": 0.9, "ece": 0.3, "nll": 0.7},
    },
    "prior_corrected": {
        "temperature": 1.7,
        "valid": {"macro_f1": 0.8, "ece": 0.111, "nll": 0.333},
        "test": {"macro_f1": 0.8, "ece": 0.222, "nll": 0.444},
    },
}
"""Of `transfer`."""


class StudyServer:
    """A study on disk, and its server: answers by REST, never over a network."""

    def __init__(self, root: Path, data: Path) -> None:
        self.folders = Folders("tiny", root)
        self.folders.runs.mkdir(parents=True)
        self.folders.archives.mkdir(parents=True)
        source = open_source(data)
        self.split_sha256 = split.write(self.folders.split, source.index, split.split(source.index, "lesion"))
        self.folders.data.write_text(json.dumps({"store_sha256": "store"}))
        (self.folders.runs / "study.json").write_text(Study(data=str(data)).model_dump_json())
        self.labeled: LabeledImages = held_out_images(self.folders)
        self._names = {source.read(image): image for image in source.index.images}
        self.described = {name: self._describe(name) for name in QUALITY}
        self.probabilities = {name: self._predictions(share) for name, share in QUALITY.items()}
        self.default = "baseline"
        self.trouble: Trouble = lambda entry, image: None
        self.requests: Counter[tuple[str, str]] = Counter()
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        for name, probabilities in self.probabilities.items():
            lines = [f"image,part,label,{','.join(CLASSES)}"]
            for image, row in probabilities.items():
                lines.append(f"{image},test,nv,{','.join(f'{value:.7f}' for value in row)}")
            self.folders.run(name).mkdir()
            (self.folders.run(name) / "predictions.csv").write_text("\n".join(lines) + "\n")
        key = {"key": "k", "expiration time": "2999-01-01T00:00:00Z"}
        self.key_file = root / "key_file.json"
        self.key_file.write_text(json.dumps({"inference": key, "management": key, "API": {"key": "api"}}))

    def _describe(self, name: str) -> dict[str, Any]:
        """An `entry.json`, without what is null: TorchServe leaves that out."""
        return {
            "entry": name,
            "study": "tiny",
            "about": f"What is <{name}> worth?",
            **({"thesis": {"section": "3.5", "macro_f1": 0.34, "accuracy": 0.63}} if name == "baseline" else {}),
            "notice": NOTICE,
            "data": "phantom: procedural pictures, no patients' data",
            "classes": list(CLASSES),
            "architecture": "test_efficientnet",
            "pixels": 64,
            "recipe": {"start": "random", "draws": [30, 30, 20], "trainable_tensors": 1, "real": True},
            "scores": {"best_epoch": 2, "valid": {"macro_f1": QUALITY[name]}},
            **({"calibration": CALIBRATION} if name == "transfer" else {}),
            "weights_sha256": f"weights of {name}",
            "split_sha256": self.split_sha256,
            "versions": {"torch": "2"},
            "hardware": "a machine",
        }

    def _predictions(self, share: float) -> dict[str, NDArray[np.float64]]:
        """For each test image, probabilities that are right with probability `share`."""
        random = np.random.default_rng(0)
        probabilities = {}
        for image, label in zip(self.labeled.index.images, self.labeled.index.labels, strict=True):
            predicted = label if random.random() < share else (label + random.integers(1, 7)) % 7
            probabilities[image] = 0.5 * np.eye(7)[predicted] + 0.5 * random.dirichlet(np.ones(7))
        return probabilities

    @property
    def reports(self) -> Path:
        return self.folders.root / "reports" / "tiny"

    def zoo(self) -> Zoo:
        return connect(self.key_file.parent, 8080, tries=2, pause=0.001, transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        parts = [unquote(part) for part in request.url.path.split("/")[1:]]
        if parts[0] == "predictions":
            return self._predict(parts[2], self._names.get(request.content, "?"))
        assert request.url.port == 8081
        if not self.described:
            return httpx.Response(404, json={"code": 404, "message": "Model not found: lesion_classifier"})
        if request.method == "PUT":
            self.default = parts[2]
            return httpx.Response(200, json={"status": "ok"})
        if len(parts) == 2:
            return httpx.Response(200, json=[{"modelVersion": self.default}])
        if parts[2] == "all":
            return httpx.Response(200, json=[{"modelVersion": name} for name in self.described])
        return httpx.Response(200, json=[{"customizedMetadata": self.described[parts[2]]}])

    def _predict(self, entry: str, image: str) -> httpx.Response:
        with self._lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            time.sleep(0.002)
            trouble = self.trouble(entry, image)
            if isinstance(trouble, Exception):
                raise trouble
            if trouble is not None:
                return trouble
            row = self.probabilities[entry].get(image, np.full(7, 1 / 7)).tolist()
            with self._lock:
                self.requests[entry, image] += 1
            answer = {"label": CLASSES[int(np.argmax(row))], "entry": entry, "study": "tiny", "notice": NOTICE}
            return httpx.Response(200, json=answer | {"probabilities": dict(zip(CLASSES, row, strict=True))})
        finally:
            with self._lock:
                self.under_way -= 1
