"""What the header Accept asks for: JSON, unless a picture comes first."""

import pytest

from zoo.serving.service import header, prefers_png, refuse_encoding


@pytest.mark.parametrize(
    ("accept", "png"),
    [
        ("", False),
        ("*/*", False),
        ("image/png", True),
        ("IMAGE/PNG;q=0.5", True),
        ("image/png;q=0", False),
        ("image/png, application/json", True),
        ("application/json, image/png", False),
        ("application/json;q=0.5, image/png;q=0.8", True),
        ("application/json, text/plain, */*", False),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", True),  # <img> in Chromium
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", False),
        ("image/png;q=many, application/json;q=0.1", False),
        ("image/jpeg", False),
        (",;,;q=", False),
    ],
)
def test_what_is_asked_for(accept: str, png: bool) -> None:
    assert prefers_png({"accept": accept}) == png


def test_a_file_is_no_header() -> None:
    headers = {"accept": {"content-type": "image/png"}, "content-encoding": {"content-type": "image/png"}}
    assert not prefers_png(headers)
    assert refuse_encoding(headers) is None
    assert header(headers, "accept") == header({}, "accept") == ""
