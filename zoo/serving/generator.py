"""A served generator: a class, a count and a seed in, synthetic lesions out. Copied into archives."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesions.labels import CLASSES
from zoo.models.sampler import Sampler
from zoo.serving.generation import ALL, GenerationRequest, InvalidRequest, parse
from zoo.serving.service import Answer, Call, origin, refuse

COLUMNS = 8
"""Of a grid of one class; a grid of all has a row a class."""


class GeneratorService:
    """One version of the model `lesion_generator` (`zoo.serving.service.Service`)."""

    def __init__(self, entry: dict[str, Any], model: bytes | Path) -> None:
        """Open an archive's model. Raises `zoo.models.session.ModelError`."""
        self.entry = entry
        self.sampler = Sampler.from_entry(entry, model)

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer each call on its own.

        An answer has class, count, seed, first, format, pixels, entry, study and notice, and `images` (a list of base64
        PNG, 8-bit RGB) with `classes` or, for a grid, `image` (one). A refusal has code 400, type and message.
        """
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Answer:
        if call.explain:
            return refuse(400, "a generator explains nothing; ask it by /predictions/lesion_generator")
        try:
            request = parse(call.fields)
        except InvalidRequest as error:
            return refuse(400, str(error))
        rows = [self.sampler.draw(label, request.count, request.seed, request.first) for label in request.classes]
        return Answer(200, self._described(request) | _pictures(request, rows) | origin(self.entry))

    def _described(self, request: GenerationRequest) -> dict[str, Any]:
        return {
            "class": CLASSES[request.classes[0]] if len(request.classes) == 1 else ALL,
            "count": request.count,
            "seed": request.seed,
            "first": request.first,
            "format": request.format,
            "pixels": self.entry["pixels"],
        }


def _pictures(request: GenerationRequest, rows: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    """The images of each class, uint8 [count, side, side, 3], as the request asks for them."""
    if request.format == "grid":
        if len(rows) == 1:
            rows = [rows[0][start : start + COLUMNS] for start in range(0, request.count, COLUMNS)]
        return {"image": _png(_grid(rows))}
    return {
        "images": [_png(image) for row in rows for image in row],
        "classes": [CLASSES[label] for label in request.classes for _ in range(request.count)],
    }


def _grid(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of images, uint8 [n, side, side, 3] each (the last may be shorter), as one picture; gaps are white."""
    side = rows[0].shape[1]
    picture = np.full((len(rows) * side, len(rows[0]) * side, 3), 255, dtype=np.uint8)
    for place, row in enumerate(rows):
        wide = row.transpose(1, 0, 2, 3).reshape(side, -1, 3)
        picture[place * side : (place + 1) * side, : wide.shape[1]] = wide
    return picture


def _png(image: NDArray[np.uint8]) -> str:
    """Uint8 [height, width, 3] as base64 PNG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
