"""Requests: defaults, limits, and messages that say what is allowed. More of them: tests/handlers."""

import json

import pytest

from lesions.labels import CLASSES
from zoo.serving.generation import ALL, ALLOWED, LARGEST, MOST, GenerationRequest, InvalidRequest, parse


def test_only_the_class_has_no_default() -> None:
    assert parse({"body": {"class": "bcc"}}) == GenerationRequest((CLASSES.index("bcc"),), 1, 0, 0, "png")
    with pytest.raises(InvalidRequest, match="class is null"):
        parse({"body": {"count": 3}})


@pytest.mark.parametrize("key", ["body", "data"])
def test_json_is_read_as_text_bytes_or_parsed(key: str) -> None:
    body = {"class": "mel", "count": 3.0, "seed": -5, "first": 7, "format": "grid"}
    expected = GenerationRequest((CLASSES.index("mel"),), 3, -5, 7, "grid")
    text = json.dumps(body)
    assert {parse({key: content}) for content in (body, text, text.encode(), bytearray(text.encode()))} == {expected}


def test_the_limit_is_of_all_classes_together() -> None:
    assert parse({"body": {"class": ALL, "count": MOST // 7}}).classes == tuple(range(7))
    for body in ({"class": ALL, "count": MOST // 7 + 1}, {"class": "nv", "count": MOST + 1}):
        with pytest.raises(InvalidRequest, match=f"count is {body['count']}"):
            parse({"body": body})
    assert parse({"body": {"class": "nv", "count": MOST, "first": LARGEST - 1}}).first == LARGEST - 1


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, "{", [1], {"class": "mel", "size": 3}])
def test_a_refusal_says_what_is_allowed(body: object) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse({"body": body})
    assert ALLOWED in str(error.value)
