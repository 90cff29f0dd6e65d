"""TorchServe's handler of a classifier: pictures in, class probabilities or an explanation out. Copied into archives.

TorchServe takes the one class of this file for the handler, so helpers are functions.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ts.torch_handler.base_handler import BaseHandler

from lesions.images import SECONDS, UnreadableImage, center_square, decode
from zoo.models.explanation import LARGEST, overlay
from zoo.models.predictor import Predictor
from zoo.models.weights import read_archive
from zoo.serving.request import parse

STATUS = {400: "Bad Request", 413: "Content Too Large", 501: "Not Implemented"}
"""Reason phrases: in ASCII, because TorchServe counts characters and sends bytes."""
Explained = tuple[NDArray[np.uint8], str | None]
"""The picture that heat is drawn on, uint8 [side, side, 3], and the class to explain (none: the predicted one)."""


class LesionClassifier(BaseHandler):  # type: ignore[misc]
    """One version of the model `lesion_classifier`."""

    def initialize(self, context: Any) -> None:
        """Build the network of the archive's `entry.json` and read its weights.

        Raises `zoo.models.weights.WeightsError` where the weights are not those that `entry.json` names, or do not fit;
        TorchServe writes it into its model_log.log.
        """
        torch.set_num_threads(1)  # one worker a version; else each takes every core
        self.entry, weights = read_archive(Path(context.system_properties["model_dir"]))
        self.predictor = Predictor.from_entry(self.entry, weights)
        self.context = context
        self.manifest = context.manifest
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer each request of a batch on its own: one that cannot be read never harms its neighbors.

        `data` holds a dict a request: its body under "body", or each multipart field under its own name. An answer has
        the keys label, probabilities (by class name), entry, study and notice. Probabilities are calibrated.
        An explanation has the keys label, class (the one that is explained: as asked, else the label), overlay (base64
        PNG of the picture's center square, at most 512 px), entry, study and notice; each request's own header says
        whether it asks for one (BaseHandler looks at the first request of a batch alone).
        A refusal has code (400; 413 for a picture with too many pixels; 501 for an explanation where captum is not
        installed), type and message. Asked to describe itself, a version answers with its `entry.json`.
        """
        answers: list[dict[str, Any]] = [{}] * len(data)
        pictures: dict[int, NDArray[np.uint8]] = {}
        explained: dict[int, Explained] = {}
        for index, fields in enumerate(data):
            headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
            context.set_response_content_type(index, "application/json")
            if headers.get("describe") == "True":
                answers[index] = self.entry
                continue
            try:
                request = parse(fields, headers)
                image = decode(request.content, SECONDS)
            except UnreadableImage as error:
                answers[index] = _refuse(context, index, 413 if error.too_large else 400, str(error))
                continue
            if headers.get("explain") == "True":
                if request.label not in (None, *self.entry["classes"]):
                    message = f"no class {request.label!r:.60}; there are: {', '.join(self.entry['classes'])}"
                    answers[index] = _refuse(context, index, 400, message)
                    continue
                explained[index] = center_square(image, min(LARGEST, *image.size)), request.label
            pictures[index] = center_square(image, self.entry["pixels"])
        if pictures:
            probabilities = self.predictor.probabilities(np.stack(list(pictures.values())))
            for index, row in zip(pictures, probabilities.tolist(), strict=True):
                answers[index] = self._answer(row)
        if explained:
            self._explain(pictures, explained, answers, context)
        return answers

    def _answer(self, row: list[float]) -> dict[str, Any]:
        probabilities = dict(zip(self.entry["classes"], row, strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        return {"label": label, "probabilities": probabilities, **self._provenance}

    def _explain(
        self,
        pictures: Mapping[int, NDArray[np.uint8]],
        explained: Mapping[int, Explained],
        answers: list[dict[str, Any]],
        context: Any,
    ) -> None:
        """Replace the answers to requests for an explanation by the explanation."""
        classes = {index: label or answers[index]["label"] for index, (_, label) in explained.items()}
        numbers = [self.entry["classes"].index(label) for label in classes.values()]
        try:
            heat_maps = self.predictor.heat_maps(np.stack([pictures[index] for index in classes]), numbers)
        except ImportError as error:
            for index in classes:
                answers[index] = _refuse(context, index, 501, f"this server cannot explain ({error})")
            return
        for (index, label), heat in zip(classes.items(), heat_maps, strict=True):
            content = io.BytesIO()
            overlay(explained[index][0], heat).save(content, "PNG")
            answers[index] = {
                "label": answers[index]["label"],
                "class": label,
                "overlay": base64.b64encode(content.getvalue()).decode(),
                **self._provenance,
            }

    @property
    def _provenance(self) -> dict[str, str]:
        """What every answer has of its entry."""
        return {key: self.entry[key] for key in ("entry", "study", "notice")}


def _refuse(context: Any, index: int, code: int, message: str) -> dict[str, Any]:
    context.set_response_status(code, STATUS[code], index)
    return {"code": code, "type": STATUS[code].replace(" ", ""), "message": message}
