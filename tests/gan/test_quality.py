"""Quality is better for good images than for bad ones, and copies of training images are found."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gan import quality
from gan.data import Images
from gan.features import Features
from gan.networks import Generator
from lesions.labels import CLASSES
from zoo.models import network

IMAGES_PER_CLASS = 12


def pictures(seed: int, noise: float) -> Images:
    """A flat color for each class, with `noise`."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(CLASSES)).repeat_interleave(IMAGES_PER_CLASS)
    colors = torch.stack([40 + 28.0 * labels, 200 - 25.0 * labels, 90 + 0 * labels], 1)[:, None, None]
    shades = 25 * torch.randn(len(labels), 1, 1, 3, generator=random)
    grain = noise * torch.randn(len(labels), 32, 32, 3, generator=random)
    return Images((colors + shades + grain).clamp(0, 255).byte(), labels)


@pytest.fixture
def evaluator(tmp_path: Path) -> quality.QualityEvaluator:
    torch.manual_seed(0)
    built = network.build("test_efficientnet", classes=0)
    save_file({name: tensor.contiguous() for name, tensor in built.state_dict().items()}, tmp_path / "w.safetensors")
    features = Features("test_efficientnet", tmp_path / "w.safetensors", 64)
    return quality.QualityEvaluator(features, pictures(1, 5), pictures(2, 5), seed=0)


def measure(evaluator: quality.QualityEvaluator, part: Images, monkeypatch: pytest.MonkeyPatch) -> quality.Quality:
    monkeypatch.setattr(evaluator, "draw", lambda _generator, _counts=None: part)
    return evaluator.measure(Generator(32, 2))


def test_worse_images_have_a_worse_quality(
    evaluator: quality.QualityEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = pictures(3, 5), pictures(4, 60)
    as_good, worse = (measure(evaluator, part, monkeypatch) for part in (good, bad))
    mixed = measure(evaluator, Images(good.images, good.labels.roll(IMAGES_PER_CLASS)), monkeypatch)
    assert abs(evaluator.floor.kid) < worse.kid / 5
    assert as_good.kid < worse.kid
    assert as_good.frechet < worse.frechet
    assert as_good.coverage > 0.7 > worse.coverage
    assert as_good.precision > 0.7 > worse.precision
    assert mixed.kid > 5 * abs(as_good.kid), "good images of the wrong classes"
    assert mixed.frechet == pytest.approx(as_good.frechet, rel=0.01), "all classes together do not show it"
    assert "fid" not in str(quality.Quality.model_fields).lower()


def test_copies_are_found(evaluator: quality.QualityEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies, new = pictures(1, 5), pictures(5, 5)
    monkeypatch.setattr(evaluator, "draw", lambda _generator: copies)
    generator, picture = Generator(32, 2), tmp_path / "n.png"
    assert set(evaluator.distance_to_training(generator, picture).values()) == {0.0}
    monkeypatch.setattr(evaluator, "draw", lambda _generator: new)
    assert all(0.5 < ratio < 2 for ratio in evaluator.distance_to_training(generator, picture).values())


def test_as_many_images_of_each_class_are_drawn_as_validation_has(evaluator: quality.QualityEvaluator) -> None:
    synthetic = evaluator.draw(Generator(32, 2, spectral_norm=False))
    assert torch.equal(torch.bincount(synthetic.labels), evaluator.counts)
    assert synthetic.images.shape == (IMAGES_PER_CLASS * len(CLASSES), 32, 32, 3)
