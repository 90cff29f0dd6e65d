import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zoo.models.features import FeatureReference


def normal(n: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Features whose spread differs from one to the next."""
    return np.random.default_rng(seed).normal(shift, np.linspace(0.5, 2, 50), (n, 50))


def test_images_like_those_of_validation_are_about_1_away_and_others_more() -> None:
    reference = FeatureReference.fit(normal(300))
    assert np.median(reference.distance(normal(300, 1))) == pytest.approx(1, abs=0.05)
    assert np.median(reference.distance(normal(300, 1, shift=2))) > 1.5


def test_distances_of_validation_are_as_those_of_new_images_not_smaller() -> None:
    reference = FeatureReference.fit(normal(20))
    naive = reference.distance(normal(20))
    assert reference.distances.mean() == pytest.approx(reference.distance(normal(500, 1)).mean(), rel=0.05)
    assert naive.mean() < reference.distances.mean()


def test_each_distance_is_that_from_all_other_images() -> None:
    features = normal(12)
    left_out = [
        FeatureReference.fit(np.delete(features, row, 0)).distance(features[row : row + 1])[0] for row in range(12)
    ]
    assert FeatureReference.fit(features).distances == pytest.approx(sorted(left_out), rel=1e-6)


def test_an_entry_holds_it_and_one_without_has_none() -> None:
    reference = FeatureReference.fit(normal(100))
    again = FeatureReference.from_entry(json.loads(json.dumps({"features": reference.to_entry()})))
    assert again is not None
    assert again.distance(normal(5, 2)) == pytest.approx(reference.distance(normal(5, 2)), rel=1e-5)
    assert FeatureReference.from_entry({}) is None
    assert FeatureReference.from_entry({"features": None}) is None  # TorchServe leaves out what is null, others do not


@given(arrays(np.float32, (5, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_any_features_have_a_distance(features: np.ndarray) -> None:
    assert np.isfinite(FeatureReference.fit(features).distance(features)).all()
