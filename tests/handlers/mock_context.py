"""The classifier's handler in a mock context: a model folder, requests as TorchServe hands them on, and answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from ts.context import Context, RequestProcessor

from handlers.lesion_classifier import LesionClassifier
from lesions.images import center_square, decode
from lesions.labels import CLASSES, NOTICE
from tests.images import file_of
from tests.networks import digest, probabilities, save_model
from zoo.models.network import build
from zoo.models.session import MODEL

ENTRY: dict[str, Any] = {
    "entry": "baseline",
    "study": "tests",
    "notice": NOTICE,
    "architecture": "test_efficientnet",
    "pixels": 64,
    "classes": list(CLASSES),
    "mean": [0.7, 0.5, 0.5],
    "deviation": [0.2, 0.2, 0.2],
}


GOOD = [
    file_of(Image.effect_noise((60, 40), 20 + 40 * n).convert("RGB"), form) for n, form in enumerate(("PNG", "JPEG"))
]
HUGE = file_of(Image.new("1", (8_000, 8_000)))


def model_dir(folder: Path) -> Path:
    model = save_model(_network(), folder / MODEL, ENTRY["pixels"], ENTRY["mean"], ENTRY["deviation"])
    (folder / "entry.json").write_text(json.dumps(ENTRY | {"model_sha256": digest(model)}))
    return folder


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(ENTRY["architecture"])


def context_of(folder: Path, headers: list[dict[str, Any]] | None = None) -> Context:
    context = Context("lesion_classifier", str(folder), {"model": {}}, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor(header) for header in headers or []]
    return context


Request = tuple[Mapping[str, Any], dict[str, Any]]


def body(content: object, kind: str = "image/jpeg") -> Request:
    return {"body": content}, {"Content-Type": kind, "explain": "False"}


def form(*parts: tuple[str, object, str]) -> Request:
    """A multipart form as TorchServe hands it on; a part is its name, value and own content type."""
    headers = {name: {"content-type": kind} for name, _, kind in parts}
    return {name: value for name, value, _ in parts}, headers | {"Content-Type": "multipart/form-data; boundary=x"}


def ask(handler: LesionClassifier, folder: Path, *requests: Request) -> list[tuple[int, dict[str, Any]]]:
    context = context_of(folder, [headers for _, headers in requests])
    answers = handler.handle([dict(fields) for fields, _ in requests], context)
    assert len(answers) == len(requests)
    json.dumps(answers, allow_nan=False)
    coded = []
    for index, answer in enumerate(answers):
        code, phrase = context.get_response_status(index)
        assert (phrase or "").isascii()  # else TorchServe miscounts the answer's bytes
        assert context.get_response_content_type(index) == "application/json"
        coded.append((code, answer))
    return coded


def expected(content: bytes) -> dict[str, float]:
    batch = center_square(decode(content), ENTRY["pixels"])[None].copy()
    row = probabilities(_network(), batch, ENTRY["mean"], ENTRY["deviation"])[0].tolist()
    return dict(zip(CLASSES, row, strict=True))


PICTURE = ("mole", bytearray(GOOD[0]), "image/png")


def explained(*fields: tuple[str, Any, str]) -> Request:
    """A request to explain itself: a form of these fields."""
    parts, headers = form(*fields)
    return parts, headers | {"explain": "True"}
