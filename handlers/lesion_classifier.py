"""TorchServe's handler of a classifier: pictures in, class probabilities or an explanation out. Copied into archives.

TorchServe takes the one class of this file for the handler, so the steps beside it are functions.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ts.torch_handler.base_handler import BaseHandler

from lesions.images import SECONDS, UnreadableImage, center_square, decode
from zoo.models.explanation import LARGEST, ExplanationRequest, grad_cam, last_feature_map, overlay
from zoo.models.network import build, load, probabilities
from zoo.serving.request import parse

STATUS = {400: "Bad Request", 413: "Content Too Large", 501: "Not Implemented"}
"""Reason phrases: in ASCII, because TorchServe counts characters and sends bytes."""


class LesionClassifier(BaseHandler):  # type: ignore[misc]
    """One version of the model `lesion_classifier`."""

    def initialize(self, context: Any) -> None:
        """Build the network of the archive's `entry.json` and read its weights.

        Raises `RuntimeError` where the weights are not those that `entry.json` names, and
        `zoo.models.network.WeightsError` where they do not fit; TorchServe writes either into its model_log.log.
        """
        torch.set_num_threads(1)  # one worker a version; else each takes every core
        folder = Path(context.system_properties["model_dir"])
        self.entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        weights = folder / "weights.safetensors"
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.entry["weights_sha256"]:
            raise RuntimeError(
                f"weights.safetensors has sha256 {digest}, entry.json says {self.entry['weights_sha256']}"
            )
        self.model = build(self.entry["architecture"], len(self.entry["classes"]))
        load(self.model, weights)
        # Archives from before there was calibration have none.
        self.temperature = float(self.entry.get("calibration", {}).get("temperature", 1))
        self.context = context
        self.manifest = context.manifest
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer each request of a batch on its own: one that cannot be read never harms its neighbors.

        `data` holds a dict a request: its body under "body", or each multipart field under its own name. An answer has
        the keys label, probabilities (by class name), entry, study and notice. Probabilities are calibrated: logits are
        divided by the entry's temperature, which leaves the label as it is.
        An explanation has the keys label, class (the one that is explained: as asked, else the label), overlay (base64
        PNG of the picture's center square, at most 512 px), entry, study and notice; each request's own header says
        whether it asks for one (BaseHandler goes by the first of a batch).
        A refusal has code (400; 413 for a picture with too many pixels; 501 for an explanation where captum is not
        installed), type and message. Asked to describe itself, a version answers with its `entry.json`.
        """
        answers: list[dict[str, Any]] = [{}] * len(data)
        pictures: dict[int, NDArray[np.uint8]] = {}
        wishes: dict[int, ExplanationRequest] = {}
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
                    said = f"no class {request.label!r:.60}; there are: {', '.join(self.entry['classes'])}"
                    answers[index] = _refuse(context, index, 400, said)
                    continue
                wishes[index] = ExplanationRequest(center_square(image, min(LARGEST, *image.size)), request.label)
            pictures[index] = center_square(image, self.entry["pixels"])
        if pictures:
            batch = torch.from_numpy(np.stack(list(pictures.values())))
            mean, std = self.entry["mean"], self.entry["deviation"]
            found = probabilities(self.model, batch, mean, std, self.temperature)
            for index, row in zip(pictures, found.tolist(), strict=True):
                answers[index] = self._answer(row)
        if wishes:
            self._explain(pictures, wishes, answers, context)
        return answers

    def _answer(self, row: list[float]) -> dict[str, Any]:
        named = dict(zip(self.entry["classes"], row, strict=True))
        return {"label": max(named, key=named.__getitem__), "probabilities": named, **self._from}

    def _explain(
        self,
        pictures: Mapping[int, NDArray[np.uint8]],
        wishes: Mapping[int, ExplanationRequest],
        answers: list[dict[str, Any]],
        context: Any,
    ) -> None:
        """Put an explanation in the place of each answer that was asked to explain itself."""
        asked = {index: wish.label or answers[index]["label"] for index, wish in wishes.items()}
        batch = torch.from_numpy(np.stack([pictures[index] for index in asked]))
        numbers = [self.entry["classes"].index(label) for label in asked.values()]
        try:
            heats = grad_cam(self.model, self._layer, batch, numbers, self.entry["mean"], self.entry["deviation"])
        except ImportError as error:
            for index in asked:
                answers[index] = _refuse(context, index, 501, f"this server cannot explain ({error})")
            return
        for (index, label), heat in zip(asked.items(), heats, strict=True):
            answers[index] = {
                "label": answers[index]["label"],
                "class": label,
                "overlay": base64.b64encode(overlay(wishes[index].picture, heat)).decode(),
                **self._from,
            }

    @property
    def _from(self) -> dict[str, str]:
        """What every answer says of where it comes from."""
        return {key: self.entry[key] for key in ("entry", "study", "notice")}

    @cached_property
    def _layer(self) -> torch.nn.Module:
        """The layer that explanations look at."""
        return last_feature_map(self.model, self.entry["pixels"])


def _refuse(context: Any, index: int, code: int, message: str) -> dict[str, Any]:
    context.set_response_status(code, STATUS[code], index)
    return {"code": code, "type": STATUS[code].replace(" ", ""), "message": message}
