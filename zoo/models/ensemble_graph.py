"""One ONNX graph of several classifiers: a weighted mean of the logarithms of their probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from zoo.models.onnx_graph import ExportError
from zoo.models.predictor import Predictor

SMALLEST = 1e-30
"""Probabilities below this count as this: float32 may hold 0, whose logarithm would decide alone."""
TOLERANCE = 1e-6
"""The most by which the graph's probabilities may differ from those that numpy computes of its members'."""


def combine(members: Sequence[bytes], coefficients: Sequence[float]) -> bytes:
    """The content of the `model.onnx` that has `members`, which take images of the same size.

    Its probabilities are softmax(sum of coefficient x log(probabilities)); its features those of all members, side by
    side; its maps the members' maps, weighted alike, where each has some of the same size. Raises `ExportError` where
    they cannot be put together.
    """
    graphs = [
        compose.add_prefix(onnx.load_model_from_string(content), f"member{number}_", rename_inputs=False)
        for number, content in enumerate(members)
    ]
    pixels = [graph.graph.input[0] for graph in graphs]
    if any(one != pixels[0] for one in pixels) or len({(g.ir_version, g.opset_import[0].version) for g in graphs}) > 1:
        raise ExportError(
            "an ensemble's members take images of different sizes, or were exported by different versions"
        )
    nodes = [node for graph in graphs for node in graph.graph.node]
    constants = [tensor for graph in graphs for tensor in graph.graph.initializer]

    def constant(name: str, value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    smallest = constant("smallest", np.array(SMALLEST, dtype=np.float32))
    factors = [
        constant(f"coefficient{number}", np.array(value, dtype=np.float32)) for number, value in enumerate(coefficients)
    ]

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [output], name=f"{operator}_{output}", **attributes))
        return output

    def weighted_sum(parts: Sequence[str], output: str) -> str:
        products = [
            add("Mul", pair, f"{output}{number}") for number, pair in enumerate(zip(parts, factors, strict=True))
        ]
        return add("Sum", products, output)

    numbers = range(len(graphs))
    logarithms = [
        add("Log", [add("Max", [f"member{k}_probabilities", smallest], f"likely{k}")], f"logarithm{k}") for k in numbers
    ]
    add("Softmax", [weighted_sum(logarithms, "logits")], "probabilities", axis=1)
    add("Concat", [f"member{k}_features" for k in numbers], "features", axis=1)
    by_member = [
        {output.name.removeprefix(f"member{k}_"): output for output in graphs[k].graph.output} for k in numbers
    ]
    widths = [outputs["features"].type.tensor_type.shape.dim[1].dim_value for outputs in by_member]
    classes = by_member[0]["probabilities"].type.tensor_type.shape.dim[1].dim_value
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", sum(widths)]),
    ]
    shapes = {
        tuple(dim.dim_value for dim in outputs["maps"].type.tensor_type.shape.dim[1:]) if "maps" in outputs else ()
        for outputs in by_member
    }
    if len(shapes) == 1 and (shape := shapes.pop()):
        weighted_sum([f"member{k}_maps" for k in numbers], "maps")
        outputs.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", *shape]))
    graph = helper.make_graph(nodes, "ensemble", [pixels[0]], outputs, constants)
    model = helper.make_model(graph, opset_imports=list(graphs[0].opset_import), ir_version=graphs[0].ir_version)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def mean(probabilities: NDArray[np.floating], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """What `combine` computes of its members' probabilities [members, n, classes]: [n, classes]."""
    logits = np.tensordot(np.asarray(coefficients), np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)), 1)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def check(
    model: bytes, members: Sequence[bytes], coefficients: Sequence[float], images: NDArray[np.uint8], classes: int
) -> None:
    """Raise `ExportError` where the graph and its members, run one by one on `images`, do not agree."""
    pixels = images.shape[1]
    single = np.stack([Predictor(member, pixels, classes).probabilities(images) for member in members])
    difference = np.abs(Predictor(model, pixels, classes).probabilities(images) - mean(single, coefficients)).max()
    if not difference <= TOLERANCE:
        raise ExportError(f"an ensemble's probabilities differ from the mean of its members' by {difference:.2g}")
