"""The predictor: the temperature, and images together give what each gives separately."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lesions.images import normalize
from lesions.labels import CLASSES
from tests.networks import save_network
from zoo.models.network import build
from zoo.models.predictor import CHUNK, Predictor

MEAN, STD = [0.7, 0.5, 0.4], [0.2, 0.25, 0.3]


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("test_efficientnet")


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """As many as need two chunks of different lengths."""
    return np.random.default_rng(0).integers(0, 256, (2 * CHUNK + 1, 32, 32, 3), dtype=np.uint8)


def test_logits_are_the_networks_output(images: NDArray[np.uint8]) -> None:
    predictor = Predictor(network(), MEAN, STD, temperature=3.0)
    with torch.inference_mode():
        output = network().eval()(normalize(torch.from_numpy(images[:3]), MEAN, STD))
    assert predictor.logits(images[:3]) == pytest.approx(output.numpy(), abs=1e-6)
    assert not predictor.network.training


def test_chunks_give_the_same_as_one_by_one(images: NDArray[np.uint8]) -> None:
    predictor = Predictor(network(), MEAN, STD)
    together = predictor.logits(images)
    assert together.shape == (len(images), len(CLASSES))
    separately = np.concatenate([predictor.logits(image[None]) for image in images])
    assert together == pytest.approx(separately, abs=1e-4)


def test_the_temperature_divides_the_logits(images: NDArray[np.uint8]) -> None:
    plain, soft = (Predictor(network(), MEAN, STD, temperature) for temperature in (1.0, 4.0))
    logits = plain.logits(images[:5]).astype(np.float64)
    expected = np.exp(logits / 4) / np.exp(logits / 4).sum(1, keepdims=True)
    assert soft.probabilities(images[:5]) == pytest.approx(expected, abs=1e-6)
    assert soft.soften(plain.logits(images[:5])) == pytest.approx(expected, abs=1e-6)
    assert soft.probabilities(images[:5]).sum(1) == pytest.approx(np.ones(5))
    assert (soft.probabilities(images).argmax(1) == plain.probabilities(images).argmax(1)).all()


@pytest.mark.parametrize(("calibration", "temperature"), [({}, 1), ({"calibration": {"temperature": 2.5}}, 2.5)])
def test_an_entry_and_its_weights_make_a_predictor(
    tmp_path: Path, images: NDArray[np.uint8], calibration: dict[str, object], temperature: float
) -> None:
    entry = {"architecture": "test_efficientnet", "classes": CLASSES, "mean": MEAN, "deviation": STD} | calibration
    weights = save_network(network(), tmp_path / "weights.safetensors")
    expected = Predictor(network(), MEAN, STD, temperature).probabilities(images[:2])
    for source in (weights, weights.read_bytes()):
        predictor = Predictor.from_entry(entry, source)
        assert predictor.temperature == temperature
        assert predictor.probabilities(images[:2]) == pytest.approx(expected, abs=1e-6)


def test_heat_maps_are_one_for_each_image(images: NDArray[np.uint8]) -> None:
    predictor = Predictor(network(), MEAN, STD)
    heat = predictor.heat_maps(images[:3], [0, 4, 6])
    assert (heat.ndim, len(heat)) == (3, 3)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert heat[1] == pytest.approx(predictor.heat_maps(images[1:2], [4])[0], abs=1e-4)
