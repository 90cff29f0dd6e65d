"""The predictor: what an exported network predicts, images together or separately, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from lesions.labels import CLASSES
from tests.networks import probabilities, save_model
from zoo.models.network import build
from zoo.models.predictor import CHUNK, NoMapsError, Predictor
from zoo.models.session import ModelError
from zoo.study import ROOT

MEAN, STD, PIXELS = [0.7, 0.5, 0.4], [0.2, 0.25, 0.3], 64


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("test_efficientnet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    return save_model(network(), file, PIXELS, MEAN, STD, temperature=4.0).read_bytes()


@pytest.fixture(scope="module")
def predictor(model: bytes) -> Predictor:
    return Predictor(model, PIXELS, len(CLASSES))


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """As many as need three chunks of different lengths."""
    return np.random.default_rng(0).integers(0, 256, (2 * CHUNK + 1, PIXELS, PIXELS, 3), dtype=np.uint8)


def test_probabilities_are_the_networks_with_the_temperature(predictor: Predictor, images: NDArray[np.uint8]) -> None:
    predicted = predictor.probabilities(images)
    assert predicted == pytest.approx(probabilities(network(), images, MEAN, STD, 4.0), abs=1e-6)
    assert predicted.sum(1) == pytest.approx(np.ones(len(images)))
    assert predicted != pytest.approx(probabilities(network(), images, MEAN, STD), abs=1e-3)


def test_an_answer_does_not_depend_on_its_batch(predictor: Predictor, images: NDArray[np.uint8]) -> None:
    for ask in (predictor.probabilities, predictor.features, predictor.maps):
        separately = np.concatenate([ask(image[None]) for image in images])
        assert ask(images) == pytest.approx(separately, abs=1e-5)
        assert ask(images[:0]).shape == (0, *separately.shape[1:])


def test_features_are_what_the_last_layer_sees(predictor: Predictor, images: NDArray[np.uint8]) -> None:
    head = network().get_classifier()  # type: ignore[operator]
    with torch.inference_mode():
        logits = head(torch.from_numpy(predictor.features(images))) / 4
    assert predictor.probabilities(images) == pytest.approx(torch.softmax(logits, 1).numpy(), abs=1e-5)


def test_heat_maps_are_one_for_each_image(predictor: Predictor, images: NDArray[np.uint8]) -> None:
    labels = [0, 4, 6]
    heat = predictor.heat_maps(images[:3], labels)
    assert (heat.ndim, len(heat)) == (3, 3)
    assert 0 <= heat.min() <= heat.max() <= 1
    maps = predictor.maps(images[:3])
    for number, label in enumerate(labels):
        one = maps[number, label]
        assert heat[number] == pytest.approx(one / (one.max() or 1), abs=1e-6), "of its own class"
    by_class = np.concatenate([predictor.heat_maps(images[:1], [label]) for label in range(len(CLASSES))])
    assert len(np.unique(by_class.round(3), axis=0)) > 2, "else this shows nothing"


def test_a_model_without_maps_explains_nothing(model: bytes, images: NDArray[np.uint8]) -> None:
    changed = onnx.load_model_from_string(model)
    [index] = [number for number, output in enumerate(changed.graph.output) if output.name == "maps"]
    del changed.graph.output[index]
    predictor = Predictor(changed.SerializeToString(), PIXELS, len(CLASSES))
    assert not predictor.explains
    with pytest.raises(NoMapsError, match="no class activation maps"):
        predictor.heat_maps(images[:1], [0])


def test_models_of_other_networks_are_refused(model: bytes) -> None:
    with pytest.raises(ModelError, match=r"another network: its inputs .* 64, 64, 3"):
        Predictor(model, 32, len(CLASSES))
    with pytest.raises(ModelError, match="another network: its outputs"):
        Predictor(model, PIXELS, 8)


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "text"])
def test_damaged_models_are_refused(model: bytes, harm: str) -> None:
    flipped = bytes(byte ^ 0xFF for byte in model[:4000]) + model[4000:]
    damaged = {"cut": model[: len(model) // 2], "flipped": flipped, "empty": b"", "text": b"hello"}[harm]
    with pytest.raises(ModelError):
        Predictor(damaged, PIXELS, len(CLASSES))


@pytest.mark.parametrize("domain", ["evil", "com.microsoft.extensions"])
def test_an_operator_from_outside_is_refused(model: bytes, domain: str) -> None:
    changed = onnx.load_model_from_string(model)
    changed.graph.node[-1].domain, changed.graph.node[-1].op_type = domain, "RunCommand"
    changed.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(ModelError, match="RunCommand"):
        Predictor(changed.SerializeToString(), PIXELS, len(CLASSES))


def test_onnxruntime_reports_nothing(tmp_path: Path) -> None:
    # Where its telemetry is on, it makes a file for it when it is imported.
    kept = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name and name != "CI"}
    code = "import os, zoo.models.session; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=kept | {"TMPDIR": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())


def test_weights_from_another_file_are_refused(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_bytes(b"\0" * 2**22)
    changed = onnx.load_model_from_string(model)
    tensor = max(changed.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", str(secret)), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(ModelError):
        Predictor(changed.SerializeToString(), PIXELS, len(CLASSES))
