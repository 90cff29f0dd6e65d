"""What an archive holds: its `entry.json`, and its `model.onnx`, opened by onnxruntime. Copied into archives."""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lesions.errors import UserError

MODEL = "model.onnx"
"""In a run's folder, and in an archive."""
Shape = tuple[int | None, ...]
"""Of a tensor; `None` is any length."""
TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
"""onnxruntime's names of the types that are used, and numpy's."""


class ModelError(UserError):
    """A model that cannot be read, or that is of another network or entry."""


def read_archive(archive: Path) -> tuple[dict[str, Any], bytes]:
    """The `entry.json` and the `model.onnx` of an archive: a .mar, or the folder that one was unpacked into.

    Raises `ModelError` where the model is not the one that `entry.json` names, or the file is no archive of the zoo.
    """
    try:
        if archive.is_dir():
            entry, model = (archive / "entry.json").read_bytes(), (archive / MODEL).read_bytes()
        else:
            with zipfile.ZipFile(archive) as opened:
                entry, model = opened.read("entry.json"), opened.read(MODEL)
        described = dict(json.loads(entry))
        expected = str(described["model_sha256"])
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{archive} is not an archive of the zoo ({error})") from None
    if (digest := hashlib.sha256(model).hexdigest()) != expected:
        raise ModelError(f"{archive}: {MODEL} has sha256 {digest[:12]}..., entry.json says {expected[:12]}...")
    return described, model


class Session:
    """A model on one thread of the CPU. Safe to share between threads."""

    def __init__(self, model: bytes | Path, inputs: Mapping[str, tuple[str, Shape]]) -> None:
        """Open `model`, a file or its content, which takes these `inputs` (type and shape by name).

        Raises `ModelError` where it is damaged, has operators from outside, or takes other inputs.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # more would round differently
        options.log_severity_level = 4  # errors are raised anyway
        content = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes, one for each status
            reason = str(error).splitlines()[0].removeprefix("[ONNXRuntimeError] : ")
            raise ModelError(f"onnxruntime cannot read the model ({reason:.300})") from None
        taken = {tensor.name: (TYPES.get(tensor.type), _shape(tensor.shape)) for tensor in self._session.get_inputs()}
        if taken != dict(inputs):
            raise ModelError(f"the model of another network: its inputs are {taken}, not {dict(inputs)}")
        self.outputs: dict[str, Shape] = {tensor.name: _shape(tensor.shape) for tensor in self._session.get_outputs()}
        """The shape of each output, by name."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named `outputs`, for all of a batch of `inputs`."""
        return [np.asarray(output) for output in self._session.run(list(outputs), dict(inputs))]


def _shape(shape: Sequence[object]) -> Shape:
    return tuple(length if isinstance(length, int) else None for length in shape)
