"""TorchServe's handler of a generator: a class, a count and a seed in, synthetic lesions out. Copied into archives.

TorchServe takes the one class of this file for the handler, so helpers are functions.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from ts.torch_handler.base_handler import BaseHandler

from gan.drawing import draw
from gan.request import ALL, GenerationRequest, InvalidRequest, parse
from gan.snapshot import restored
from lesions.labels import CLASSES
from zoo.models.weights import read_archive

COLUMNS = 8
"""Of a grid of one class; a grid of all has a row a class."""


class LesionGenerator(BaseHandler):  # type: ignore[misc]
    """One version of the model `lesion_generator`."""

    def initialize(self, context: Any) -> None:
        """Build the generator of the archive's `entry.json` and read its weights.

        Raises `zoo.models.weights.WeightsError` where the weights are not those that `entry.json` names, `RuntimeError`
        where they do not fit.
        """
        torch.set_num_threads(1)  # one worker a version; else each takes every core
        self.entry, weights = read_archive(Path(context.system_properties["model_dir"]))
        self.model = restored(load_file(weights), self.entry["pixels"], self.entry["width"])
        self.context = context
        self.manifest = context.manifest
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer each request of a batch on its own.

        An answer has class, count, seed, first, format, pixels, entry, study and notice, and `images` (a list of base64
        PNG, 8-bit RGB) or, for a grid, `image` (one). A refusal has code 400, type and message.
        """
        answers: list[dict[str, Any]] = []
        for index, request in enumerate(data):
            headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
            context.set_response_content_type(index, "application/json")
            if headers.get("describe") == "True":
                answers.append(self.entry)
                continue
            try:
                answers.append(self._answer(parse(request)))
            except InvalidRequest as error:
                context.set_response_status(400, "Bad Request", index)
                answers.append({"code": 400, "type": "BadRequest", "message": str(error)})
        return answers

    def _answer(self, request: GenerationRequest) -> dict[str, Any]:
        rows = [self._draw(label, request) for label in request.classes]
        single = len(request.classes) == 1
        answer: dict[str, Any] = {
            "class": CLASSES[request.classes[0]] if single else ALL,
            "count": request.count,
            "seed": request.seed,
            "first": request.first,
            "format": request.format,
            "pixels": self.entry["pixels"],
            "entry": self.entry["entry"],
            "study": self.entry["study"],
            "notice": self.entry["notice"],
        }
        if request.format == "grid":
            answer["image"] = _png(_grid(torch.split(rows[0], COLUMNS) if single else rows))
        else:
            answer["images"] = [_png(image) for row in rows for image in row]
            answer["classes"] = [CLASSES[label] for label in request.classes for _ in range(request.count)]
        return answer

    def _draw(self, label: int, request: GenerationRequest) -> torch.Tensor:
        """The images of one class: uint8 [count, pixels, pixels, 3]."""
        return torch.cat(list(draw(self.model, torch.full((request.count,), label), request.seed, request.first)))


def _grid(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows of images, uint8 [n, side, side, 3] each (the last may be shorter), as one picture; gaps are white."""
    side = rows[0].shape[1]
    picture = torch.full((len(rows) * side, len(rows[0]) * side, 3), 255, dtype=torch.uint8)
    for place, row in enumerate(rows):
        wide = row.permute(1, 0, 2, 3).reshape(side, -1, 3)
        picture[place * side : (place + 1) * side, : wide.shape[1]] = wide
    return picture


def _png(image: torch.Tensor) -> str:
    """Uint8 [height, width, 3] as base64 PNG."""
    content = io.BytesIO()
    Image.fromarray(image.numpy()).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
