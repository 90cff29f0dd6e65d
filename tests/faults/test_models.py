"""Archives whose model is not what their entry says, though the manifest knows them: named, and the others served."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.faults.conftest import Reliability
from tests.faults.garbage import noise
from tests.faults.small_zoo import PREDICTIONS, Served, made
from tests.images import file_of
from tests.networks import digest
from tests.servers import free_ports, pack, start, stop
from zoo.serving.http import ServerError
from zoo.serving.runtime import RUNTIMES

pytestmark = [pytest.mark.thorough, pytest.mark.server]


def cut_short(model: bytes) -> bytes:
    return model[: len(model) // 2]


def with_an_output_that_nothing_computes(model: bytes) -> bytes:
    return _changed(model, lambda loaded: setattr(loaded.graph.output[0], "name", "scores"))


def with_an_operator_from_outside(model: bytes) -> bytes:
    def exchange(loaded: onnx.ModelProto) -> None:
        loaded.graph.node[-1].domain, loaded.graph.node[-1].op_type = "evil", "RunCommand"
        loaded.opset_import.append(helper.make_opsetid("evil", 1))

    return _changed(model, exchange)


def with_weights_in_another_file(model: bytes) -> bytes:
    def move(loaded: onnx.ModelProto) -> None:
        tensor = max(loaded.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)

    return _changed(model, move)


def _changed(model: bytes, change: Callable[[onnx.ModelProto], object]) -> bytes:
    loaded = onnx.load_model_from_string(model)
    change(loaded)
    return bytes(loaded.SerializeToString())


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (cut_short, "onnxruntime cannot read the model"),
    "uncomputed": (with_an_output_that_nothing_computes, "onnxruntime cannot read the model"),
    "outside": (with_an_operator_from_outside, "RunCommand"),
    "elsewhere": (with_weights_in_another_file, "onnxruntime cannot read the model"),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_models_that_cannot_be_served(runtime: str, tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row(
        f"by {runtime}: a damaged model.onnx, one of another network, one with an operator from outside, one whose "
        "weights are in another file",
        "each is named with the reason; the good one is served",
    )
    entry, model = made("classifier", tmp_path / "good")
    store, folder, port = tmp_path / "store", tmp_path / "serve", free_ports()
    pack(entry, model, store / "baseline.mar")
    content = model.read_bytes()
    for name, (harm, _) in FAULTS.items():
        model.write_bytes(harm(content))
        pack(entry | {"entry": name, "model_sha256": digest(model)}, model, store / f"{name}.mar")
    model.write_bytes(content)
    wide = {"entry": "wide", "pixels": 2 * entry["pixels"]}
    pack(entry | wide, model, store / "wide.mar")
    row.tried = len(FAULTS) + 1
    try:
        with pytest.raises(ServerError) as caught:
            start(store, folder, port, seconds=120, runtime=runtime)
        reasons = str(caught.value).splitlines()
        assert reasons[0] == "5 of 6 versions cannot be served:"
        for name, reason in [*((name, reason) for name, (_, reason) in FAULTS.items()), ("wide", "another network")]:
            [line] = [line for line in reasons if line.startswith(f"  {name}: ")]
            assert reason in line
        with Served(store, folder, port).http() as http:
            answer = http.post(PREDICTIONS["classifier"], content=file_of(noise()))
            assert answer.status_code == 200, answer.text
            assert set(json.loads(answer.text)["probabilities"])
    finally:
        stop(folder)
    row.seen = "so it was"
