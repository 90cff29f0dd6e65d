"""What an archive holds: its `entry.json`, and its `model.onnx`, opened by onnxruntime. Copied into archives."""

import ctypes
import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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


DAMAGED = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, LookupError, TypeError, ValueError)
"""What reading a damaged archive raises."""


def read_archive(archive: Path) -> tuple[dict[str, Any], bytes | Path]:
    """The `entry.json` and the `model.onnx` of an archive: a .mar, or the folder that one was unpacked into.

    Of a folder, the model is its file, of a .mar its content. Raises `ModelError` where the model is not the one that
    `entry.json` names, or the file is no archive of the zoo.
    """
    model: bytes | Path
    try:
        if archive.is_dir():
            entry, model = (archive / "entry.json").read_bytes(), archive / MODEL
            with model.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            with zipfile.ZipFile(archive) as opened:
                entry, model = opened.read("entry.json"), opened.read(MODEL)
            digest = hashlib.sha256(model).hexdigest()
        described = dict(json.loads(entry))
        expected = str(described["model_sha256"])
    except DAMAGED as error:
        raise ModelError(f"{archive} is not an archive of the zoo ({error})") from None
    if digest != expected:
        raise ModelError(f"{archive}: {MODEL} has sha256 {digest[:12]}..., entry.json says {expected[:12]}...")
    return described, model


class Session:
    """A model on one thread of the CPU. Safe to share between threads."""

    def __init__(self, model: bytes | Path, inputs: Mapping[str, tuple[str, Shape]]) -> None:
        """Open `model`, a file or its content, which takes these `inputs` (type and shape by name).

        Raises `ModelError` where it is damaged, has operators from outside, or takes other inputs; `MemoryError`.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # more would round differently
        options.log_severity_level = 4  # errors are raised anyway
        with _file(model) as file:
            try:
                self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # onnxruntime's own classes, one for each status
                if "bad_alloc" in str(error):
                    raise MemoryError(str(error)) from None
                reason = str(error).splitlines()[0].removeprefix("[ONNXRuntimeError] : ").replace(f"{file} ", "")
                raise ModelError(f"onnxruntime cannot read the model ({reason:.300})") from None
        with suppress(OSError, AttributeError):  # glibc's: what reading took goes back to the system, 30 MB
            ctypes.CDLL(None).malloc_trim(0)
        taken = {tensor.name: (TYPES.get(tensor.type), _shape(tensor.shape)) for tensor in self._session.get_inputs()}
        if taken != dict(inputs):
            raise ModelError(f"the model of another network: its inputs are {taken}, not {dict(inputs)}")
        self.outputs: dict[str, Shape] = {tensor.name: _shape(tensor.shape) for tensor in self._session.get_outputs()}
        """The shape of each output, by name."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named `outputs`, for all of a batch of `inputs`."""
        return [np.asarray(output) for output in self._session.run(list(outputs), dict(inputs))]


@contextmanager
def _file(model: bytes | Path) -> Iterator[str]:
    """The path of a model; of its content, a file for as long as the block: a session of bytes keeps a copy of them."""
    if isinstance(model, Path):
        yield str(model)
        return
    with tempfile.TemporaryDirectory(prefix="lesion-zoo-") as folder:
        file = Path(folder) / MODEL
        file.write_bytes(model)
        yield str(file)


def _shape(shape: Sequence[object]) -> Shape:
    return tuple(length if isinstance(length, int) else None for length in shape)
