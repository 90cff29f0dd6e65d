"""Versions that answer as usual, but crash at white pictures, or take seconds for them."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

Mood = Literal["crash", "slow"]
STEPS, WIDTH = 4000, 256
"""Multiplications of matrices that a slow one makes: some seconds."""


def white_picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (80, 80), "white").save(content, "PNG")
    return content.getvalue()


def moody(model: Path, mood: Mood, target: Path) -> Path:
    """Write a classifier's `model.onnx` with a mood to `target`."""
    graph = onnx.load(model)
    for node in graph.graph.node:
        node.output[:] = ["usual" if name == "probabilities" else name for name in node.output]
        node.input[:] = ["usual" if name == "probabilities" else name for name in node.input]

    def constant(name: str, value: object, dtype: type) -> str:
        graph.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=dtype), f"mood_{name}"))
        return f"mood_{name}"

    nodes = [
        helper.make_node("Cast", ["pixels"], ["mood_floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["mood_floats"], ["mood_darkest"], keepdims=0),
        helper.make_node("Greater", ["mood_darkest", constant("light", 254.5, np.float32)], ["mood_white"]),
        helper.make_node("Cast", ["mood_white"], ["mood_one"], to=TensorProto.INT64),
    ]
    if mood == "crash":  # an index that is none
        nodes += [
            helper.make_node("Mul", ["mood_one", constant("far", 100, np.int64)], ["mood_shift"]),
            helper.make_node("Add", [constant("classes", range(7), np.int64), "mood_shift"], ["mood_indices"]),
            helper.make_node("Gather", ["usual", "mood_indices"], ["probabilities"], axis=1),
        ]
    else:
        body = helper.make_graph(
            [
                helper.make_node("MatMul", ["in", "mood_matrix"], ["product"]),
                helper.make_node("Tanh", ["product"], ["out"]),
                helper.make_node("Identity", ["go"], ["go_on"]),
            ],
            "step",
            [
                helper.make_tensor_value_info("step", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("in", TensorProto.FLOAT, [WIDTH, WIDTH]),
            ],
            [
                helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("out", TensorProto.FLOAT, [WIDTH, WIDTH]),
            ],
        )
        matrix = constant("matrix", np.eye(WIDTH), np.float32)
        nodes += [
            helper.make_node("Mul", ["mood_one", constant("steps", STEPS, np.int64)], ["mood_number"]),
            helper.make_node("Loop", ["mood_number", constant("true", True, bool), matrix], ["mood_end"], body=body),
            helper.make_node("ReduceMin", ["mood_end"], ["mood_small"], keepdims=0),
            helper.make_node("Mul", ["mood_small", constant("zero", 0, np.float32)], ["mood_nothing"]),
            helper.make_node("Add", ["usual", "mood_nothing"], ["probabilities"]),
        ]
    graph.graph.node.extend(nodes)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, target)
    return target
