"""From a torch module to ONNX: the same bytes for the same weights, and nothing of the machine in them.

torch's exporter takes some five seconds, so its graph is kept in a cache without the weights: modules of one
architecture and size share it. Weights are put in, and then constants are folded, batch norms among them.
"""

import hashlib
import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import onnx
import onnx_ir
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import nn

from lesions.errors import UserError
from lesions.files import atomic_write, file_lock

OPSET = 18
"""The version of ONNX's operators; onnxruntime reads it from 1.14 on."""


class ExportError(UserError):
    """A network that cannot be exported, or whose export answers otherwise than the network."""


def to_onnx(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], name: str, cache: Path
) -> onnx.ModelProto:
    """`module` as ONNX, with `inputs` (an example of each, a batch of 2 or more) and the names of its outputs.

    `name` is that of the graph in the folder `cache`: modules of the same name differ in their tensors alone. Raises
    `ExportError` where torch cannot export it.
    """
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    file = _cached(module, tensors, name, cache)
    with file_lock(file):
        model = _read_graph(file)
        if model is None:
            model = _export(module, inputs, outputs, name)
            if all(tensor.name in tensors for tensor in model.graph.initializer):
                graph = onnx.ModelProto()
                graph.CopyFrom(model)
                for tensor in graph.graph.initializer:
                    tensor.ClearField("raw_data")
                atomic_write(file, graph.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        if tensor.name in tensors:
            array = tensors[tensor.name].detach().cpu().contiguous().numpy()
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def _cached(module: nn.Module, tensors: Mapping[str, torch.Tensor], name: str, cache: Path) -> Path:
    """The file of a graph: another one for other tensors or code of the network, and other versions of the exporter."""
    versions = [version(package) for package in ("torch", "onnx", "onnxscript")]
    shapes = [(key, str(tensor.dtype), tuple(tensor.shape)) for key, tensor in sorted(tensors.items())]
    digest = hashlib.sha256(f"{versions} {shapes}".encode())
    sources = {inspect.getsourcefile(type(part)) for part in module.modules()} | {__file__}
    for source in sorted(source for source in sources if source is not None):
        digest.update(Path(source).read_bytes())
    return cache / f"{name}-{digest.hexdigest()[:12]}.onnx"


def _read_graph(file: Path) -> onnx.ModelProto | None:
    """The graph in `file`; none if there is none, or it is damaged."""
    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except Exception:  # protobuf's class of errors depends on its implementation
        return None
    return model if model.graph.node else None


def _export(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], name: str
) -> onnx.ModelProto:
    module.eval()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in inputs),
                opset_version=OPSET,
                dynamo=True,
                optimize=False,  # constants would be folded into those of these weights
                verbose=False,
            )
    except Exception as error:  # of many classes, by the step at which it fails
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"torch cannot export {name} to ONNX ({reason:.300})") from None
    finally:
        logger.setLevel(level)
    assert program is not None
    return _strip(program.model_proto)


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what torch writes of the machine: paths and stack traces."""
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def serialize(model: onnx.ModelProto) -> bytes:
    """The content of a file, with constants folded."""
    folded = onnx_ir.serde.deserialize_model(model)
    optimizer.optimize(folded)
    content: bytes = _strip(onnx_ir.serde.serialize_model(folded)).SerializeToString(deterministic=True)
    return content
