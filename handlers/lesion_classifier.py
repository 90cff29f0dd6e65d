"""TorchServe's handler of a classifier: pictures in, class probabilities out. Copied into archives.

TorchServe takes the one class of this file for the handler, so the steps beside it are functions.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ts.torch_handler.base_handler import BaseHandler

from lesions.images import UnreadableImage, decode, square
from zoo.network import build, load, probabilities

STATUS = {400: "Bad Request", 413: "Content Too Large", 501: "Not Implemented"}
"""Reason phrases: in ASCII, because TorchServe counts characters and sends bytes."""

UPLOAD = "send the picture's bytes with -H 'Content-Type: image/jpeg', or upload it with curl -F image=@mole.jpg"


class LesionClassifier(BaseHandler):  # type: ignore[misc]
    """One version of the model `lesion_classifier`."""

    def initialize(self, context: Any) -> None:
        """Build the network of the archive's `entry.json` and read its weights.

        Raises `RuntimeError` where the weights are not those that `entry.json` names, and `zoo.network.WrongWeights`
        where they do not fit; TorchServe writes either into its model_log.log.
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
        self.context = context
        self.manifest = context.manifest
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer each request of a batch on its own: one that cannot be read never harms its neighbours.

        `data` holds a dict a request: its body under "body", or each multipart field under its own name. An answer has
        the keys label, probabilities (by class name), entry, study and notice; a refusal has code (400; 413 for a
        picture with too many pixels; 501 for an explanation), type and message. Asked to describe itself, a version
        answers with its `entry.json`.
        """
        answers: list[dict[str, Any]] = [{}] * len(data)
        pictures: dict[int, np.ndarray[Any, np.dtype[np.uint8]]] = {}
        for index, request in enumerate(data):
            headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
            context.set_response_content_type(index, "application/json")
            try:
                if headers.get("describe") == "True":
                    answers[index] = self.entry
                elif headers.get("explain") == "True":
                    answers[index] = _refuse(context, index, 501, "explanations are not offered yet; ask /predictions")
                else:
                    pictures[index] = square(decode(_content(request, headers)), self.entry["pixels"])
            except UnreadableImage as error:
                answers[index] = _refuse(context, index, 413 if error.too_large else 400, str(error))
        if pictures:
            batch = torch.from_numpy(np.stack(list(pictures.values())))
            found = probabilities(self.model, batch, self.entry["mean"], self.entry["deviation"])
            for index, row in zip(pictures, found.tolist(), strict=True):
                answers[index] = self._answer(row)
        return answers

    def _answer(self, row: list[float]) -> dict[str, Any]:
        named = dict(zip(self.entry["classes"], row, strict=True))
        return {
            "label": max(named, key=named.__getitem__),
            "probabilities": named,
            "entry": self.entry["entry"],
            "study": self.entry["study"],
            "notice": self.entry["notice"],
        }


def _refuse(context: Any, index: int, code: int, message: str) -> dict[str, Any]:
    context.set_response_status(code, STATUS[code], index)
    return {"code": code, "type": STATUS[code].replace(" ", ""), "message": message}


def _content(request: Mapping[str, Any], headers: Mapping[str, Any]) -> bytes:
    """The picture's bytes in one request, however they were sent. Raises `UnreadableImage`."""
    kind = str(headers.get("content-type", "")).lower()
    if kind.startswith("application/x-www-form-urlencoded"):  # what curl -d and --data-binary say if not told
        raise UnreadableImage(f"the body was sent as a web form; {UPLOAD}")
    fields = dict(request)
    if kind.startswith("multipart/"):
        # TorchServe gives a file's own content type under its field's name, and none for a field with a mere value.
        files = {name for name in fields if isinstance(own := headers.get(name.lower()), dict) and own["content-type"]}
        if len(files) > 1:
            raise UnreadableImage(f"{len(files)} files ({', '.join(sorted(files))}); send one picture a request")
        if len(fields) > 1:
            fields = {name: fields[name] for name in files}
        if not fields:
            raise UnreadableImage(f"no file among the form's fields; {UPLOAD}")
    value = next(iter(fields.values()), b"")
    if isinstance(value, str):  # a text/* body, decoded on the way
        value = value.encode()
    if isinstance(value, bytes | bytearray):
        # No picture begins with a brace. What claims to be JSON and still comes as bytes is none.
        is_json = kind.startswith("application/json") or value[:64].lstrip()[:1] == b"{"
        return _from_json(_parsed(bytes(value))) if value and is_json else bytes(value)
    return _from_json(value)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableImage(f"the body is not JSON ({error})") from None


def _from_json(value: object) -> bytes:
    """The bytes in `{"image": "<base64>"}`, where a `data:` URL will do too."""
    if not isinstance(value, dict) or not isinstance(text := value.get("image"), str):
        raise UnreadableImage('the JSON has no picture; send {"image": "<base64>"}')
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)  # encoders break lines
    except (binascii.Error, ValueError) as error:
        raise UnreadableImage(f'"image" is not base64 ({error})') from None
    if not content:
        raise UnreadableImage('"image" is empty; send {"image": "<base64>"}')
    return content
