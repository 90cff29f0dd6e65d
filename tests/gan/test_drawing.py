"""An image depends on (seed, class, index) alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gan.drawing import draw, from_bytes, to_bytes
from gan.networks import Generator, fuse
from tests.networks import save_generator
from zoo.models.onnx_graph import ExportError
from zoo.models.sampler import CHUNK, Sampler, latent
from zoo.models.session import ModelError


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return fuse(Generator(32, 4, spectral_norm=False))


def test_latent_vectors_are_gaussian_and_do_not_depend_on_the_count() -> None:
    many = latent(7, 0, 2000, 128)
    assert abs(many.mean()) < 0.01
    assert abs(many.std() - 1) < 0.01
    assert np.array_equal(latent(7, 5, 1, 128)[0], many[5])
    assert len({tuple(row.tolist()) for row in many}) == 2000
    assert not np.array_equal(latent(8, 0, 1, 128)[0], many[0])
    assert np.isfinite(latent(-(2**70), 0, 1, 4)).all(), "any integer is a seed"
    # Fixed here, because served images must not change with a library.
    assert latent(1, 0, 1, 4)[0].tolist() == pytest.approx(EXPECTED, abs=1e-6)


EXPECTED = [-0.192176, -0.472504, 0.203633, -0.131721]


def test_an_image_does_not_depend_on_the_others_of_a_call(generator: Generator) -> None:
    labels = torch.arange(11) % 7
    together = torch.cat(list(draw(generator, labels, 3)))
    assert together.shape == (11, 32, 32, 3)
    assert together.dtype == torch.uint8
    for index in range(11):
        (single,) = draw(generator, labels[index : index + 1], 3, first=index)
        assert torch.equal(single[0], together[index])
    assert [len(chunk) for chunk in draw(generator, labels, 3, first=2)] == [CHUNK - 2, CHUNK, CHUNK, 1]
    assert not torch.equal(together[0], torch.cat(list(draw(generator, labels, 4)))[0])
    assert not torch.equal(together[0], next(draw(generator, torch.tensor([6]), 3))[0]), "the class matters"


def test_to_bytes_inverts_from_bytes() -> None:
    images = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_bytes(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_bytes(from_bytes(values)), values)


def test_what_is_served_draws_the_same_images(generator: Generator, tmp_path: Path) -> None:
    sampler = Sampler(save_generator(fuse(generator), 4, tmp_path / "model.onnx"), 32)
    for label in (0, 4):
        drawn = torch.cat(list(draw(generator, torch.full((7,), label), 3, 2))).numpy()
        served = sampler.draw(label, 7, 3, 2)
        assert np.abs(served.astype(int) - drawn).max() <= 1, "rounded otherwise by a level of 255 at most"
        assert np.array_equal(served[2:4], sampler.draw(label, 2, 3, 4)), "whatever else is drawn"


def test_a_model_of_another_size_is_refused(generator: Generator, tmp_path: Path) -> None:
    model = save_generator(fuse(generator), 4, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="the model of another network: its outputs"):
        Sampler(model, 64)
    with pytest.raises(ModelError, match=r"entry\.json has no 'pixels'"):
        Sampler.from_entry({}, model)


def test_a_model_that_draws_otherwise_is_not_written(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Sampler.draw
    monkeypatch.setattr(Sampler, "draw", lambda *arguments: drawn(*arguments) ^ 2)
    with pytest.raises(ExportError, match=r"a generator of 32 px: as ONNX, its pixels differ from torch's by [2-4]$"):
        save_generator(generator, 4, tmp_path / "model.onnx")


def test_graphs_of_fused_and_other_kernels_are_not_taken_for_one_another(generator: Generator, tmp_path: Path) -> None:
    torch.manual_seed(1)
    plain = Generator(32, 4, spectral_norm=False).eval()
    for drawn_by in (generator, plain, generator):
        sampler = Sampler(save_generator(drawn_by, 4, tmp_path / "model.onnx"), 32)
        expected = torch.cat(list(draw(drawn_by, torch.full((4,), 2), 0))).numpy()
        assert np.abs(sampler.draw(2, 4, 0).astype(int) - expected).max() <= 1
