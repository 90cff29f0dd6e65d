"""Whatever is sent to the classifier's handler, it answers."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.lesion_classifier import LesionClassifier
from tests.handlers.mock_context import (
    GOOD,
    ask,
    body,
)


@pytest.fixture(scope="module")
def ask_one(handler: LesionClassifier, folder: Path) -> Any:
    return lambda request: ask(handler, folder, request)[0]


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(["", "image/png", "application/json", "multipart/form-data"]))
@example(b'{"image": "\xff"}', "application/json")
def test_any_bytes_get_an_answer(ask_one: Any, content: bytes, kind: str) -> None:
    code, answer = ask_one(body(bytearray(content), kind))
    assert code in {200, 400, 413}
    assert code == 200 or answer["message"]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_damaged_picture_gets_an_answer(ask_one: Any, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content)))
    code, answer = ask_one(body(content[:end]))
    assert code in {200, 400, 413}
    if code == 200:
        assert np.isclose(sum(answer["probabilities"].values()), 1, atol=1e-5)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["image", "class", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(VALUES | st.fixed_dictionaries({"image": st.just(base64.b64encode(GOOD[0]).decode()), "class": VALUES}))
def test_any_json_gets_an_answer(ask_one: Any, value: object) -> None:
    for content in (value, bytearray(json.dumps(value).encode())):  # parsed by TorchServe, or not
        code, answer = ask_one(({"body": content}, {"Content-Type": "application/json", "explain": "True"}))
        assert code in {200, 400}
        assert code == 200 or 0 < len(answer["message"]) < 500
