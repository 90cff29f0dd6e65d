"""The graph of an ensemble: the mean of its members' logarithms, by hand; and what cannot be put together."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from lesions.labels import CLASSES
from tests.networks import GRAPHS
from tests.zoo.models.test_export import MEAN, PIXELS, STD, trained
from zoo.models import ensemble_graph
from zoo.models.export import ClassifierGraph, export_classifier
from zoo.models.onnx_graph import ExportError
from zoo.models.predictor import Predictor
from zoo.models.views import EightViews

IMAGES = np.random.default_rng(3).integers(0, 256, (5, PIXELS, PIXELS, 3), dtype=np.uint8)


def member(architecture: str = "test_efficientnet", pixels: int = PIXELS, views: bool = False) -> bytes:
    network = EightViews(trained(architecture)) if views else trained(architecture)
    images = IMAGES[:, :pixels, :pixels]
    return export_classifier(ClassifierGraph(network, MEAN, STD, 1.5, pixels), architecture, images, GRAPHS)


@pytest.fixture(scope="module")
def members() -> list[bytes]:
    return [member(), member(views=True)]


def run(model: bytes) -> Predictor:
    return Predictor(model, PIXELS, len(CLASSES))


def test_it_predicts_the_mean_of_logarithms_and_has_all_features_and_maps(members: list[bytes]) -> None:
    factors = [0.4, 0.9]
    combined = run(ensemble_graph.combine(members, factors))
    first, second = (run(content) for content in members)
    logits = 0.4 * np.log(first.probabilities(IMAGES)) + 0.9 * np.log(second.probabilities(IMAGES))
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert combined.probabilities(IMAGES) == pytest.approx(expected, abs=1e-6)
    both = np.concatenate([first.features(IMAGES), second.features(IMAGES)], axis=1)
    assert np.array_equal(combined.features(IMAGES), both)
    maps = 0.4 * first.maps(IMAGES) + 0.9 * second.maps(IMAGES)
    assert combined.maps(IMAGES) == pytest.approx(maps, abs=1e-6)
    ensemble_graph.check(ensemble_graph.combine(members, factors), members, factors, IMAGES, len(CLASSES))


def test_the_same_members_give_the_same_bytes(members: list[bytes]) -> None:
    assert ensemble_graph.combine(members, [0.5, 0.5]) == ensemble_graph.combine(members, [0.5, 0.5])


def test_a_graph_of_other_members_is_refused(members: list[bytes]) -> None:
    with pytest.raises(ExportError, match="differ from the mean of its members' by"):
        ensemble_graph.check(ensemble_graph.combine(members, [0.4, 0.9]), members, [0.9, 0.4], IMAGES, len(CLASSES))


def test_a_member_without_maps_leaves_an_ensemble_without_maps(members: list[bytes]) -> None:
    bare = onnx.load_model_from_string(members[1])
    del bare.graph.output[2]
    assert not run(ensemble_graph.combine([members[0], bare.SerializeToString()], [1, 1])).explains


def test_members_of_different_sizes_are_refused(members: list[bytes]) -> None:
    with pytest.raises(ExportError, match="images of different sizes"):
        ensemble_graph.combine([members[0], member(pixels=32)], [1, 1])


def test_a_probability_of_nothing_does_not_decide_alone() -> None:
    probabilities: NDArray[np.float64] = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert ensemble_graph.mean(probabilities, [1, 1])[0] == pytest.approx([0.5, 0.5])


def test_nothing_of_this_machine_is_in_it(members: list[bytes]) -> None:
    model = onnx.load_model_from_string(ensemble_graph.combine(members, [1, 1]))
    del model.graph.initializer[:]
    assert str(Path.cwd()).encode() not in model.SerializeToString()
    assert {node.name.split("_")[0] for node in model.graph.node} >= {"member0", "member1"}
