"""A request to a classifier: a picture, and perhaps the class to explain. Copied into archives."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from lesions.images import UnreadableImage

UPLOAD = "send the picture's bytes with -H 'Content-Type: image/jpeg', or upload it with curl -F image=@mole.jpg"


class Request(NamedTuple):
    """One request, however it was sent."""

    content: bytes
    """The bytes of the picture's file."""
    label: str | None
    """The class named by the form's field `class` or by JSON; none if there is none."""


def parse(fields: Mapping[str, Any], headers: Mapping[str, Any]) -> Request:
    """Read what the server passes on: `fields` by name, `headers` by name in lower case.

    A body is the field "body", a form's field has its own name; the URL's parameters are not handed on. Raises
    `UnreadableImage`.
    """
    kind = str(headers.get("content-type", "")).lower()
    if kind.startswith("application/x-www-form-urlencoded"):  # curl's default for -d and --data-binary
        raise UnreadableImage(f"the body was sent as a web form; {UPLOAD}")
    given = dict(fields)
    label: str | None = None
    if kind.startswith("multipart/"):
        # The headers have a file's own content type under its field's name, and none for a field with a mere value.
        files = {name for name in given if isinstance(own := headers.get(name.lower()), dict) and own["content-type"]}
        if len(files) > 1:
            raise UnreadableImage(f"{len(files)} files ({', '.join(sorted(files)):.200}); send one picture a request")
        if "class" not in files and len(given) > 1:
            label = _text(given.pop("class", None))
        if len(given) > 1:
            given = {name: given[name] for name in files}
        if not given:
            raise UnreadableImage(f"no file among the form's fields; {UPLOAD}")
    content, own_label = _content(next(iter(given.values()), b""), kind)
    return Request(content, own_label or label)


def _content(value: object, kind: str) -> Request:
    """The picture in the `value` of a field or a body of content type `kind`."""
    if isinstance(value, str):  # a text/* body, decoded on the way
        value = value.encode(errors="replace")  # JSON may hold half a surrogate pair
    if not isinstance(value, bytes | bytearray):
        return _from_json(value)
    # No picture begins with a brace. What is called JSON and still comes as bytes is not parsed.
    is_json = kind.startswith("application/json") or value[:64].lstrip()[:1] == b"{"
    return _from_json(_parsed(bytes(value))) if value and is_json else Request(bytes(value), None)


def _text(value: object) -> str | None:
    """A field's value; none if it is not there or empty."""
    if isinstance(value, bytes | bytearray):
        value = value.decode(errors="replace")
    return str(value) if value else None


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableImage(f"the body is not JSON ({error})") from None


def _from_json(value: object) -> Request:
    """The request in `{"image": "<base64>", "class": "mel"}`; the image may be a `data:` URL."""
    if not isinstance(value, dict) or not isinstance(text := value.get("image"), str):
        raise UnreadableImage('the JSON has no picture; send {"image": "<base64>"}')
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)  # encoders break lines
    except (binascii.Error, ValueError) as error:
        raise UnreadableImage(f'"image" is not base64 ({error})') from None
    if not content:
        raise UnreadableImage('"image" is empty; send {"image": "<base64>"}')
    return Request(content, _text(value.get("class")))
