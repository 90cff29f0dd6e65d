"""Quality is better for good images than for bad ones, and copies of training images are found."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gan import quality
from gan.data import Images
from gan.features import Features
from gan.networks import Generator
from lesions.index import DataError
from lesions.labels import CLASSES
from tests.networks import save_network
from zoo.models import network
from zoo.models.weights import WeightsError

IMAGES_PER_CLASS = 12


def pictures(seed: int, noise: float) -> Images:
    """A flat color for each class, with `noise`."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(CLASSES)).repeat_interleave(IMAGES_PER_CLASS)
    colors = torch.stack([40 + 28.0 * labels, 200 - 25.0 * labels, 90 + 0 * labels], 1)[:, None, None]
    shades = 25 * torch.randn(len(labels), 1, 1, 3, generator=random)
    grain = noise * torch.randn(len(labels), 32, 32, 3, generator=random)
    return Images((colors + shades + grain).clamp(0, 255).byte(), labels)


def frozen_features(tmp_path: Path) -> Features:
    torch.manual_seed(0)
    built = network.build("test_efficientnet", classes=0)
    save_file({name: tensor.contiguous() for name, tensor in built.state_dict().items()}, tmp_path / "w.safetensors")
    return Features("test_efficientnet", tmp_path / "w.safetensors", 64)


def test_a_backbone_that_takes_no_images_of_that_size_is_named(tmp_path: Path) -> None:
    weights = save_network("vit_tiny_patch16_224", tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="vit_tiny_patch16_224 takes no images of 64 pixels a side"):
        Features("vit_tiny_patch16_224", weights, 64)


@pytest.fixture
def evaluator(tmp_path: Path) -> quality.QualityEvaluator:
    return quality.QualityEvaluator(frozen_features(tmp_path), pictures(1, 5), pictures(2, 5), seed=0)


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


def test_neighborhoods_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Radii of the real are 3, 2, 2, 4, of the synthetic 2.5, 2.5, 0.5, 0.5, 19.5 (Naeem et al. 2020, with k = 1)."""
    monkeypatch.setattr(quality, "NEIGHBORS", 1)
    real, synthetic = torch.tensor([[-2.0], [1], [3], [7]]), torch.tensor([[1.5], [4], [20], [20.5], [40]])
    assert quality._neighborhoods(real, synthetic) == pytest.approx(
        {"precision": 2 / 5, "recall": 2 / 4, "density": 4 / 5, "coverage": 3 / 4}
    )


def test_a_class_with_a_single_validation_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = frozen_features(tmp_path)
    training, validation = pictures(1, 5), pictures(2, 5)
    kept = validation.labels != 3
    kept[3 * IMAGES_PER_CLASS] = True
    single = Images(validation.images[kept], validation.labels[kept])
    evaluator = quality.QualityEvaluator(features, training, single, seed=0)
    assert evaluator.floor.kid_by_class["df"] is None
    assert all(value is not None for name, value in evaluator.floor.kid_by_class.items() if name != "df")
    json.dumps(evaluator.floor.model_dump(), allow_nan=False)  # as the archive has it
    monkeypatch.setattr(evaluator, "draw", lambda _generator: pictures(5, 5))
    evaluator.training_features[3 * IMAGES_PER_CLASS] = evaluator.validation_features[3 * IMAGES_PER_CLASS]
    assert evaluator.distance_to_training(Generator(32, 2), tmp_path / "n.png")["df"] is None, "a copy itself"
    each = Images(validation.images[::IMAGES_PER_CLASS], validation.labels[::IMAGES_PER_CLASS])
    with pytest.raises(DataError, match="a single image of each class"):
        quality.QualityEvaluator(features, training, each, seed=0)


def test_copies_are_found(evaluator: quality.QualityEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies, new = pictures(1, 5), pictures(5, 5)
    monkeypatch.setattr(evaluator, "draw", lambda _generator: copies)
    generator, picture = Generator(32, 2), tmp_path / "n.png"
    assert set(evaluator.distance_to_training(generator, picture).values()) == {0.0}
    monkeypatch.setattr(evaluator, "draw", lambda _generator: new)
    assert all(0.5 < (ratio or 0) < 2 for ratio in evaluator.distance_to_training(generator, picture).values())


def test_as_many_images_of_each_class_are_drawn_as_validation_has(evaluator: quality.QualityEvaluator) -> None:
    synthetic = evaluator.draw(Generator(32, 2, spectral_norm=False))
    assert torch.equal(torch.bincount(synthetic.labels), evaluator.counts)
    assert synthetic.images.shape == (IMAGES_PER_CLASS * len(CLASSES), 32, 32, 3)
