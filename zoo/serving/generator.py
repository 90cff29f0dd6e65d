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
from zoo.serving.service import Answer, Call, origin, prefers_png, refuse, refuse_encoding

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
        PNG, 8-bit RGB) with `classes` or, for a grid, `image` (one). Where the header Accept asks for it, an answer is
        that one image, as PNG. A refusal has code (400; 406 for several images as one PNG; 415 for a compressed body),
        type and message.
        """
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Answer:
        if call.explain:
            return refuse(400, "a generator explains nothing; ask it by /predictions/lesion_generator")
        if refused := refuse_encoding(call.headers):
            return refused
        try:
            request = parse(call.fields, call.headers)
        except InvalidRequest as error:
            return refuse(400, str(error))
        rows = [self.sampler.draw(label, request.count, request.seed, request.first) for label in request.classes]
        pictures = _pictures(request, rows)
        if prefers_png(call.headers):
            if len(pictures) > 1:
                return refuse(406, f"{len(pictures)} images are no one PNG; ask for one image, or a grid, or JSON")
            return Answer(200, {}, pictures[0])
        texts = [base64.b64encode(picture).decode() for picture in pictures]
        if request.format == "grid":
            shown: dict[str, Any] = {"image": texts[0]}
        else:
            classes = [CLASSES[label] for label in request.classes for _ in range(request.count)]
            shown = {"images": texts, "classes": classes}
        return Answer(200, self._described(request) | shown | origin(self.entry))

    def _described(self, request: GenerationRequest) -> dict[str, Any]:
        return {
            "class": CLASSES[request.classes[0]] if len(request.classes) == 1 else ALL,
            "count": request.count,
            "seed": request.seed,
            "first": request.first,
            "format": request.format,
            "pixels": self.entry["pixels"],
        }


def _pictures(request: GenerationRequest, rows: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """The images of each class, uint8 [count, side, side, 3], as PNG files: one file for a grid."""
    if request.format == "grid":
        if len(rows) == 1:
            rows = [rows[0][start : start + COLUMNS] for start in range(0, request.count, COLUMNS)]
        return [_png(_grid(rows))]
    return [_png(image) for row in rows for image in row]


def _grid(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of images, uint8 [n, side, side, 3] each (the last may be shorter), as one picture; gaps are white."""
    side = rows[0].shape[1]
    picture = np.full((len(rows) * side, len(rows[0]) * side, 3), 255, dtype=np.uint8)
    for place, row in enumerate(rows):
        wide = row.transpose(1, 0, 2, 3).reshape(side, -1, 3)
        picture[place * side : (place + 1) * side, : wide.shape[1]] = wide
    return picture


def _png(image: NDArray[np.uint8]) -> bytes:
    """Uint8 [height, width, 3] as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()
